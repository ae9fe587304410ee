"""How long a recording is and how many frames it has, from the headers of its fragments.

Reads the files that `video_file.py` writes, also one that was cut short. Any thread.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

TICKS = 90_000  # a second; as in `encoder.py`, which needs PyAV
MOST_HEADER = 1024 * 1024  # bytes of one fragment's
_DURATION, _SIZE, _FLAGS, _OFFSET = 0x100, 0x200, 0x400, 0x800  # fields of each sample in a trun


class Length(NamedTuple):
    """seconds: up to the end of the last frame."""

    seconds: float
    frames: int


def measure(path: Path) -> Length:
    """The length of the whole fragments in `path`; raises OSError."""
    ticks = frames = 0
    with path.open("rb") as file:
        for kind, size in _boxes(file):
            if kind != b"moof" or size > MOST_HEADER:
                continue
            try:
                ticks, count = _fragment(file.read(size))
            except struct.error:
                break
            frames += count
    return Length(ticks / TICKS, frames)


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """(kind, bytes of its content) of each box that is whole; `file` is at its content."""
    end, at = file.seek(0, 2), 0
    while at + 8 <= end:
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        if size < 8 or at + size > end:
            return
        yield kind, size - 8
        at += size


def _fragment(moof: bytes) -> tuple[int, int]:
    """(ticks at its end, how many frames) of the content of a moof box; raises struct.error."""
    began = ticks = frames = usual = 0
    for kind, box in _inside(moof):
        if kind != b"traf":
            continue
        for kind, content in _inside(box):
            flags = struct.unpack_from(">I", content)[0]
            version, flags = flags >> 24, flags & 0xFFFFFF
            if kind == b"tfhd":
                at = 8 + (8 if flags & 1 else 0) + (4 if flags & 2 else 0)
                usual = struct.unpack_from(">I", content, at)[0] if flags & 8 else 0
            elif kind == b"tfdt":
                began = struct.unpack_from(">Q" if version else ">I", content, 4)[0]
            elif kind == b"trun":
                count, durations = _run(content, flags, usual)
                frames += count
                ticks += durations
    return began + ticks, frames


def _run(trun: bytes, flags: int, usual: int) -> tuple[int, int]:
    """(how many samples, the sum of their durations); usual: of a sample without its own."""
    count = struct.unpack_from(">I", trun, 4)[0]
    if not flags & _DURATION:
        return count, count * usual
    first = 8 + (4 if flags & 1 else 0) + (4 if flags & 4 else 0)
    step = 4 * sum(bool(flags & field) for field in (_DURATION, _SIZE, _FLAGS, _OFFSET))
    return count, sum(struct.unpack_from(">I", trun, first + step * n)[0] for n in range(count))


def _inside(box: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(box):
        size, kind = struct.unpack_from(">I4s", box, at)
        if size < 8:
            raise struct.error("a box without a size")
        yield kind, box[at + 8 : at + size]
        at += size
