"""The session file: the recipes of a recording's frames and the scenes behind them, one per line.

    {"session": 2, "started": 1764201600.0, "model": "demo", "size": [256, 256], ...}
    {"scene": {...}, "at": 0.0}
    {"fingerprint": "demo@local torch-2.13.0 ..."}
    {"frame": 1, "at": 0.033, "shot": {...}, "sha256": "0123456789abcdef"}
    {"picture": "SHA-256", "offset": 0, "bytes": 97242}
    {"shown": 1, "jpeg": "base64"}

`at` is in seconds since the start, on the clock of the scene. The first scene is the one in force
at the start; later ones and the frames follow in the order in which they became known, so a frame
that was in flight during a change comes after it. What a frame starts from comes before it: the
place of an input picture in NAME.sources, if it is kept, and the JPEG of an earlier frame that has
no line, since it was shown before the recording or was lost. Written as plain lines, so that a
killed program leaves every whole line readable, and compressed when it is closed.
`session_reader.py` reads it. Knows the stream's data and no pixels. One thread at a time.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turbostream.sinks.source_file import Place
from turbostream.stream import scene_json, shot_json
from turbostream.stream.frame import Frame
from turbostream.stream.scene import Scene

VERSION = 2  # 1: earlier frames were used as they were shown, which may be dimmed
DIGITS = 16  # of a JPEG's SHA-256
MOST_LINE = 8 * 1024 * 1024  # bytes; the JPEG of a frame of 4096x4096 fits
BUFFER_BYTES = 64 * 1024  # written at once when there is more
DECIMALS = 6  # of `at`: microseconds


@dataclass(frozen=True)
class Header:
    """What a session was recorded with. started: unix seconds. size: (width, height) in pixels.
    session: the version of the format."""

    started: float
    model: str
    size: tuple[int, int]
    quality: int
    decoder: str
    fps: float
    session: int = VERSION


def digest(jpeg: bytes) -> str:
    """The first digits of the JPEG's SHA-256, as sessions hold them."""
    return hashlib.sha256(jpeg).hexdigest()[:DIGITS]


class SessionWriter:
    """Writes the session of one recording to `path` (NAME.jsonl).

    Call `scene` with the scene in force first: its time is the start. Every method raises OSError
    if the disk refuses; the file then ends with the last whole line that reached it.
    """

    def __init__(self, path: Path, header: Header) -> None:
        """Raises FileExistsError rather than overwrite a file."""
        self.path = path
        self._began: float | None = None
        self._fingerprint = ""
        self._pending = bytearray()
        self._file = path.open("xb", buffering=0)
        self._add({"session": VERSION, **vars(header)})

    def scene(self, scene: Scene, time: float) -> None:
        """The scene that came into force at `time`, in seconds on the channel's clock."""
        if self._began is None:
            self._began = time
        self._add({"scene": scene_json.to_json(scene, time), "at": self._at(time)})

    def frame(self, frame: Frame) -> None:
        if frame.fingerprint != self._fingerprint:
            self._fingerprint = frame.fingerprint
            self._add({"fingerprint": frame.fingerprint})
        self._add(
            {
                "frame": frame.number,
                "at": self._at(frame.taken),
                "shot": shot_json.to_json(frame.shot),
                "sha256": digest(frame.jpeg),
            }
        )

    def picture(self, sha256: str, place: Place) -> None:
        """An input picture that later frames start from, in NAME.sources."""
        self._add({"picture": sha256, "offset": place.offset, "bytes": place.size})

    def shown(self, frame: Frame) -> None:
        """An earlier frame that later ones start from and whose recipe is missing. One that does
        not fit in a line is left out; a replay then says that it is missing."""
        jpeg = base64.b64encode(frame.source).decode("ascii")
        if len(jpeg) < MOST_LINE - 100:
            self._add({"shown": frame.number, "jpeg": jpeg})

    def flush(self) -> None:
        """Hand all lines to the operating system, so that the end of this process loses none."""
        if not self._pending:
            return
        before = os.fstat(self._file.fileno()).st_size
        view = memoryview(bytes(self._pending))
        try:
            while view:
                view = view[self._file.write(view) :]
        except OSError:
            self._file.truncate(before)
            raise
        self._pending.clear()

    def close(self) -> Path:
        """Compress the file and return the new path, NAME.jsonl.gz; the plain file stays if that
        fails. May take seconds for a long session."""
        try:
            self.flush()
        finally:
            self._file.close()
        return compress(self.path)

    def _at(self, time: float) -> float:
        if self._began is None:
            raise ValueError("The scene at the start must be written before the first frame.")
        return round(time - self._began, DECIMALS)

    def _add(self, values: dict[str, Any]) -> None:
        self._pending += json.dumps(values, separators=(",", ":")).encode() + b"\n"
        if len(self._pending) > BUFFER_BYTES:
            self.flush()


def compress(path: Path) -> Path:
    """Replace a plain session by its compressed form, whole or not at all; returns its path. Also
    for the session of a recording that was killed. Raises OSError."""
    packed = path.with_name(f"{path.name}.gz")
    unfinished = packed.with_name(f"{packed.name}.tmp")
    try:
        with path.open("rb") as plain, unfinished.open("wb") as file:
            with gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as target:
                shutil.copyfileobj(plain, target, BUFFER_BYTES)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(packed)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    path.unlink()
    return packed
