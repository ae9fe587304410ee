"""Reads session files, plain or compressed, line by line: a file of any length takes little memory.

The content may come from anywhere: each line is checked, and a fault is one sentence with the
number of its line. Only at its end may a file be damaged, as a killed program or a full disk leaves
it; reading then ends with the last whole line. Any thread.
"""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from turbostream.sinks import session_lines, source_file
from turbostream.sinks.session import MOST_LINE, Header
from turbostream.sinks.session_lines import MOST_AT, Event, FrameAt, SceneAt, SessionError
from turbostream.stream.scene_checks import SceneError
from turbostream.stream.shot import ShotError

GZIP = b"\x1f\x8b"
# How the program writes the beginnings of these lines.
FRAME, SCENE, PICTURE, SHOWN = b'{"frame"', b'{"scene"', b'{"picture"', b'{"shown"'


@dataclass
class Session:
    """Each iteration reads the file from its beginning, and raises SessionError at a fault.

    truncated: one sentence, once an iteration has reached a damaged end of the file.
    """

    path: Path
    header: Header
    truncated: str = field(default="", compare=False)

    @property
    def sources(self) -> Path:
        """The file of the input pictures, if any were kept."""
        return self.path.with_name(self.path.name.partition(".jsonl")[0] + source_file.SUFFIX)

    def frames(self) -> Iterator[FrameAt]:
        """In the order of their numbers and times; nothing else is looked at."""
        others = (SCENE, PICTURE, SHOWN)
        return (event for event in self.events(skip=others) if isinstance(event, FrameAt))

    def scenes(self) -> Iterator[SceneAt]:
        """In the order of their times; nothing else is looked at."""
        others = (FRAME, PICTURE, SHOWN)
        return (event for event in self.events(skip=others) if isinstance(event, SceneAt))

    def events(self, skip: tuple[bytes, ...] = ()) -> Iterator[Event]:
        """All that the session holds, without the lines that begin with one of `skip`."""
        fingerprint, number, frame_at, scene_at = "", 0, -MOST_AT, -MOST_AT
        for line, text in self._lines():
            if line == 1 or text.startswith(skip):
                continue
            try:
                values = session_lines.parsed(text)
                if "frame" in values:
                    frame = session_lines.frame(values, fingerprint)
                    if frame.number <= number or frame.at < frame_at:
                        raise SessionError("the numbers and times of frames must rise")
                    number, frame_at = frame.number, frame.at
                    yield frame
                elif "scene" in values:
                    scene = session_lines.scene(values)
                    if scene.at < scene_at:
                        raise SessionError("the times of scenes must rise")
                    scene_at = scene.at
                    yield scene
                elif "picture" in values:
                    yield session_lines.picture(values)
                elif "shown" in values:
                    yield session_lines.shown(values)
                else:
                    fingerprint = session_lines.fingerprint(values)
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
        session.header = session_lines.header(session_lines.parsed(line[1]))
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


def _sentence(path: Path, line: int, error: Exception) -> str:
    return f"{path}, line {line}: {str(error).rstrip('.')}."
