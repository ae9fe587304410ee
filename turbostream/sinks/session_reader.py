"""Reads session files, plain or compressed, line by line: a file of any length takes little memory.

The content may come from anywhere: each line is checked, and a fault is one sentence with the
number of its line. Only at its end may a file be damaged, as a killed program or a full disk leaves
it; reading then ends with the last whole line. Any thread.
"""

from __future__ import annotations

import gzip
import os
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from turbostream.sinks.session import DIGITS, VERSION, Header
from turbostream.stream import scene_json, shot_json, state_folder
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import SceneError
from turbostream.stream.shot import MAX_SEED, MAX_SIDE, Shot, ShotError, is_number
from turbostream.stream.state_folder import UntrustedFile

MOST_LINE = 1024 * 1024  # bytes
MOST_AT = 1e8  # seconds; three years
MOST_TEXT = 1000  # characters of a fingerprint or of the name of a model
GZIP = b"\x1f\x8b"
FRAME, SCENE = b'{"frame"', b'{"scene"'  # how the program writes the beginning of these lines


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


@dataclass
class Session:
    """Each iteration reads the file from its beginning, and raises SessionError at a fault.

    truncated: one sentence, once an iteration has reached a damaged end of the file.
    """

    path: Path
    header: Header
    truncated: str = field(default="", compare=False)

    def frames(self) -> Iterator[FrameAt]:
        """In the order of their numbers and times; scenes are not looked at."""
        return (event for event in self.events(skip=SCENE) if isinstance(event, FrameAt))

    def scenes(self) -> Iterator[SceneAt]:
        """In the order of their times; frames are not looked at."""
        return (event for event in self.events(skip=FRAME) if isinstance(event, SceneAt))

    def events(self, skip: bytes = b"\n") -> Iterator[FrameAt | SceneAt]:
        """All frames and scenes, without the lines that begin with `skip`."""
        fingerprint, number, frame_at, scene_at = "", 0, -MOST_AT, -MOST_AT
        for line, text in self._lines():
            if line == 1 or text.startswith(skip):
                continue
            try:
                values = _parsed(text)
                if "frame" in values:
                    frame = _frame(values, fingerprint)
                    if frame.number <= number or frame.at < frame_at:
                        raise SessionError("the numbers and times of frames must rise")
                    number, frame_at = frame.number, frame.at
                    yield frame
                elif "scene" in values:
                    scene = _scene(values)
                    if scene.at < scene_at:
                        raise SessionError("the times of scenes must rise")
                    scene_at = scene.at
                    yield scene
                else:
                    fingerprint = _fingerprint(values)
            except (SessionError, ShotError, SceneError) as error:
                raise SessionError(_sentence(self.path, line, error)) from None

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """(number from 1, content) of each whole line; the header is line 1."""
        line = 0
        with _opened(self.path) as file:
            while True:
                try:
                    text = file.readline(MOST_LINE + 1)
                except EOFError:  # compressed, and cut short
                    text = b"\0"
                except (OSError, zlib.error) as error:
                    reason = getattr(error, "strerror", None) or "the compressed data is damaged"
                    raise SessionError(
                        f"{self.path} cannot be read after line {line} ({reason}); use another "
                        "copy of it."
                    ) from None
                if not text:
                    return
                line += 1
                if len(text) > MOST_LINE:
                    raise SessionError(
                        f"{self.path}, line {line}: a line of a session has at most "
                        f"{MOST_LINE:,} bytes."
                    )
                if not text.endswith(b"\n"):
                    self.truncated = (
                        f"{self.path} ends within line {line}, as after a kill or on a full disk; "
                        "what comes before is used."
                    )
                    return
                yield line, text


def read_session(path: Path) -> Session:
    """The session in `path`; only its header has been read. Raises SessionError."""
    session = Session(path, Header(0.0, "", (8, 8), 1, "", 1.0))
    line = next(session._lines(), None)
    if line is None:
        raise SessionError(
            f"{path} holds no session: it is empty or ends within its first line; give the "
            ".jsonl.gz or .jsonl file of a recording."
        )
    try:
        session.header = _header(_parsed(line[1]))
    except SessionError as error:
        raise SessionError(
            f"{path} is not a session ({error}); give the .jsonl.gz or .jsonl file of a recording."
        ) from None
    return session


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The content, decompressed; raises SessionError for anything but a file that may be read."""
    try:
        # NONBLOCK returns at once from a FIFO that nobody writes to.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise SessionError(f"There is no session {path}; name the file of a recording.") from None
    except OSError as error:
        raise SessionError(f"{path} cannot be read ({error.strerror}).") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SessionError(f"{path} is not a file; give the .jsonl.gz or .jsonl of a recording.")
    with open(descriptor, "rb") as file:
        if file.peek(len(GZIP)).startswith(GZIP):
            with gzip.open(file) as content:
                yield content  # type: ignore[misc]
        else:
            yield file


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        values = state_folder.parse(text)
    except UntrustedFile:
        raise SessionError("it is not the JSON that this program writes") from None
    if not isinstance(values, dict):
        raise SessionError("it is not a JSON object")
    return values


def _header(values: dict[str, Any]) -> Header:
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
            started, values["model"], tuple(size), values["quality"], values["decoder"], fps
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


def _frame(values: dict[str, Any], fingerprint: str) -> FrameAt:
    if set(values) != {"frame", "at", "shot", "sha256"}:
        raise SessionError("a frame has the fields frame, at, shot and sha256")
    number = values["frame"]
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= MAX_SEED:
        raise SessionError("the number of a frame must be a whole number from 1")
    sha256 = values["sha256"]
    if not isinstance(sha256, str) or not re.fullmatch(f"[0-9a-f]{{{DIGITS}}}", sha256):
        raise SessionError(f"the sha256 of a frame must be {DIGITS} hexadecimal digits")
    return FrameAt(number, _at(values), shot_json.from_json(values["shot"]), sha256, fingerprint)


def _scene(values: dict[str, Any]) -> SceneAt:
    if set(values) != {"scene", "at"}:
        raise SessionError("a scene has the fields scene and at")
    at = _at(values)
    return SceneAt(scene_json.from_json(values["scene"], at), at)


def _at(values: dict[str, Any]) -> float:
    at = values["at"]
    if not is_number(at) or abs(at) > MOST_AT:
        raise SessionError("at must be a number of seconds")
    return float(at)


def _fingerprint(values: dict[str, Any]) -> str:
    text = values.get("fingerprint")
    if set(values) != {"fingerprint"} or not isinstance(text, str) or len(text) > MOST_TEXT:
        raise SessionError("it is neither a frame nor a scene nor a fingerprint")
    return text


def _sentence(path: Path, line: int, error: Exception) -> str:
    return f"{path}, line {line}: {str(error).rstrip('.')}."
