"""The recipe of a picture inside its JPEG file: a comment segment right after the start marker.

    FF D8 | FF FE, length, turbostream:{"shot": {...}, "fingerprint": "..."} | the rest of the file

Pure, any thread; uses no image library. `read` accepts untrusted bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from turbostream.stream.shot import Shot, ShotError
from turbostream.stream.shot_json import from_json, to_json

MOST_BYTES = 600  # of the segment with its marker and length
MOST_READ = 64 * 1024  # bytes of a file: comments precede the picture's data
MOST_SEGMENTS = 64
MOST_FINGERPRINT = 400  # characters
MARK = b"turbostream:"
START = b"\xff\xd8"
_COMMENT = 0xFE
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD8))
_DATA, _END = 0xDA, 0xD9  # what follows them is no longer a segment

NO_RECIPE = "The picture holds no recipe; use one that was saved from this program by its owner."
NOT_JPEG = "The file is not a JPEG picture; use one that was saved from this program."
DAMAGED = "The picture is damaged before its recipe; use another copy of it."
MALFORMED = "The recipe in the picture is damaged; use another copy of it."
HUGE = (
    f"The recipe in the picture is longer than {MOST_BYTES} bytes; use a picture that was saved "
    "from this program."
)


class RecipeError(ValueError):
    """One sentence on why a file gives no recipe."""


@dataclass(frozen=True)
class Recipe:
    """What a picture was painted from; fingerprint: of the engine, or empty."""

    shot: Shot
    fingerprint: str


def segment(shot: Shot, fingerprint: str) -> bytes:
    """The comment segment, at most MOST_BYTES long.

    Without the fingerprint if that does not fit, and empty if the shot alone does not.
    """
    data: dict[str, Any] = {"shot": to_json(shot)}
    named = {**data, "fingerprint": fingerprint}
    for content in (named, data) if 0 < len(fingerprint) <= MOST_FINGERPRINT else (data,):
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        # A lone surrogate, which UTF-8 cannot hold, becomes JSON's own escape of it.
        payload = MARK + text.encode("utf-8", "backslashreplace")
        length = len(payload) + 2
        if length + 2 <= MOST_BYTES:
            return bytes((0xFF, _COMMENT)) + length.to_bytes(2, "big") + payload
    return b""


def inserted(jpeg: bytes, comment: bytes) -> bytes:
    """The file with `comment`, a whole segment or nothing, right after its start marker."""
    if not comment or not jpeg.startswith(START):
        return jpeg
    return b"".join((START, comment, memoryview(jpeg)[len(START) :]))


def read(file: bytes) -> Recipe:
    """The recipe in an untrusted JPEG file; only its first MOST_READ bytes are searched.

    Raises RecipeError with one sentence.
    """
    data = file[:MOST_READ]
    if not data.startswith(START):
        raise RecipeError(NOT_JPEG)
    place = len(START)
    for _ in range(MOST_SEGMENTS):
        if place < len(data) and data[place] != 0xFF:
            raise RecipeError(DAMAGED)
        while place < len(data) and data[place] == 0xFF:  # a marker may follow any number of FF
            place += 1
        if place >= len(data):
            raise RecipeError(DAMAGED if len(file) <= MOST_READ else NO_RECIPE)
        marker, place = data[place], place + 1
        if marker in (_DATA, _END):
            break
        if marker in _WITHOUT_LENGTH:
            continue
        length = int.from_bytes(data[place : place + 2], "big")
        if length < 2 or place + length > len(file):
            raise RecipeError(DAMAGED)
        if marker == _COMMENT and data.startswith(MARK, place + 2):
            if length + 2 > MOST_BYTES:
                raise RecipeError(HUGE)
            return _parsed(data[place + 2 + len(MARK) : place + length])
        place += length
    raise RecipeError(NO_RECIPE)


def _parsed(text: bytes) -> Recipe:
    try:
        content = json.loads(text.decode("utf-8"), parse_constant=_refused)
    except (ValueError, RecursionError):
        raise RecipeError(MALFORMED) from None
    if not isinstance(content, dict) or not {"shot"} <= set(content) <= {"shot", "fingerprint"}:
        raise RecipeError(MALFORMED)
    fingerprint = content.get("fingerprint", "")
    if not isinstance(fingerprint, str) or len(fingerprint) > MOST_FINGERPRINT:
        raise RecipeError(MALFORMED)
    try:
        return Recipe(from_json(content["shot"]), fingerprint)
    except ShotError as error:
        raise RecipeError(str(error)) from None


def _refused(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
