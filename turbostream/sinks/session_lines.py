"""The lines of a session file and what they may hold: values from anywhere, checked.

Pure, any thread. A fault is one sentence, to which `session_reader.py` adds the line's number.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Any

from turbostream.sinks.session import DIGITS, VERSION, Header
from turbostream.sinks.source_file import Place
from turbostream.stream import scene_json, shot_json, state_folder
from turbostream.stream.scene import Scene
from turbostream.stream.shot import MAX_SEED, MAX_SIDE, InputPicture, Shot, is_number
from turbostream.stream.state_folder import UntrustedFile

MOST_AT = 1e8  # seconds; three years
MOST_TEXT = 1000  # characters of a fingerprint or of the name of a model


class SessionError(ValueError):
    """One sentence on why a file cannot be read as a session."""


@dataclass(frozen=True)
class SceneAt:
    """A scene that came into force at `at`, on the clock of the session."""

    scene: Scene
    at: float


@dataclass(frozen=True)
class FrameAt:
    """A frame of the session. sha256: the first digits of its JPEG's. fingerprint: of the engine
    that painted it."""

    number: int
    at: float
    shot: Shot
    sha256: str
    fingerprint: str


@dataclass(frozen=True)
class PictureAt:
    """An input picture that later frames start from. place: in NAME.sources."""

    sha256: str
    place: Place


@dataclass(frozen=True)
class Shown:
    """A frame that is not one of the session's, and that later ones start from."""

    number: int
    jpeg: bytes


Event = FrameAt | SceneAt | PictureAt | Shown


def parsed(text: bytes) -> dict[str, Any]:
    try:
        values = state_folder.parse(text)
    except UntrustedFile:
        raise SessionError("it is not the JSON that this program writes") from None
    if not isinstance(values, dict):
        raise SessionError("it is not a JSON object")
    return values


def header(values: dict[str, Any]) -> Header:
    version = values.pop("session", None)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise SessionError("its first line is not that of a session")
    if version > VERSION:
        raise SessionError(
            f"a newer version of this program wrote it: format {version}, and this one reads up to "
            f"{VERSION}"
        )
    try:
        started, fps, size = values["started"], values["fps"], values["size"]
        header = Header(
            started,
            values["model"],
            tuple(size),
            values["quality"],
            values["decoder"],
            fps,
            version,
        )
    except (KeyError, TypeError):
        raise SessionError("its first line lacks a field") from None
    sides = all(isinstance(side, int) and 1 <= side <= MAX_SIDE for side in header.size)
    texts = all(
        isinstance(text, str) and len(text) <= MOST_TEXT for text in (header.model, header.decoder)
    )
    numbers = is_number(started) and is_number(fps) and fps > 0
    quality = isinstance(header.quality, int) and 1 <= header.quality <= 100
    if not (len(header.size) == 2 and sides and texts and numbers and quality):
        raise SessionError("its first line has a wrong value")
    return header


def frame(values: dict[str, Any], fingerprint: str) -> FrameAt:
    if set(values) != {"frame", "at", "shot", "sha256"}:
        raise SessionError("a frame has the fields frame, at, shot and sha256")
    number = _number(values["frame"])
    sha256 = values["sha256"]
    if not isinstance(sha256, str) or not re.fullmatch(f"[0-9a-f]{{{DIGITS}}}", sha256):
        raise SessionError(f"the sha256 of a frame must be {DIGITS} hexadecimal digits")
    return FrameAt(number, _at(values), shot_json.from_json(values["shot"]), sha256, fingerprint)


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_SEED:
        raise SessionError("the number of a frame must be a whole number from 1")
    return value


def picture(values: dict[str, Any]) -> PictureAt:
    if set(values) != {"picture", "offset", "bytes"}:
        raise SessionError("a picture has the fields picture, offset and bytes")
    place = Place(values["offset"], values["bytes"])
    if any(isinstance(one, bool) or not isinstance(one, int) or one < 0 for one in place):
        raise SessionError("the place of a picture must be whole numbers from 0")
    return PictureAt(InputPicture(values["picture"]).sha256, place)


def shown(values: dict[str, Any]) -> Shown:
    if set(values) != {"shown", "jpeg"}:
        raise SessionError("an earlier frame has the fields shown and jpeg")
    try:
        jpeg = base64.b64decode(values["jpeg"], validate=True)
    except (TypeError, ValueError):
        raise SessionError("the jpeg of an earlier frame must be base64") from None
    return Shown(_number(values["shown"]), jpeg)


def scene(values: dict[str, Any]) -> SceneAt:
    if set(values) != {"scene", "at"}:
        raise SessionError("a scene has the fields scene and at")
    at = _at(values)
    return SceneAt(scene_json.from_json(values["scene"], at), at)


def _at(values: dict[str, Any]) -> float:
    at = values["at"]
    if not is_number(at) or abs(at) > MOST_AT:
        raise SessionError("at must be a number of seconds")
    return float(at)


def fingerprint(values: dict[str, Any]) -> str:
    text = values.get("fingerprint")
    if set(values) != {"fingerprint"} or not isinstance(text, str) or len(text) > MOST_TEXT:
        raise SessionError("it is neither a frame nor a scene nor a fingerprint")
    return text
