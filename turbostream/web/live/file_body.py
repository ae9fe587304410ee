"""A stored file as a response body: read in pieces off gevent's loop, while viewers are served.

Knows no route. The gevent thread, except `open_stored`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from turbostream.web.live.off_loop import later, off_loop

PIECE_BYTES = 256 * 1024


@dataclass(frozen=True)
class StoredFile:
    """An open file as it was when it was opened. size: bytes; version: differs once it changes."""

    descriptor: int
    size: int
    version: str


def open_stored(path: Path) -> StoredFile:
    """Waits for the disk. Raises FileNotFoundError unless a regular file is there, and OSError."""
    # NOFOLLOW refuses a link, NONBLOCK returns at once from a FIFO that nobody writes to.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise FileNotFoundError(path)
    return StoredFile(descriptor, found.st_size, f"{found.st_size:x}-{found.st_mtime_ns:x}")


class FileBody:
    """The bytes from `start` up to `stop`; fewer only if the file has been truncated since it was
    opened. A WSGI server iterates it and calls `close`, also if it sends nothing (HEAD)."""

    def __init__(self, file: StoredFile, start: int, stop: int) -> None:
        self._file, self._at, self._stop = file, start, stop
        self._open = True

    def __iter__(self) -> Iterator[bytes]:
        while self._at < self._stop:
            wanted = min(PIECE_BYTES, self._stop - self._at)
            piece = off_loop(os.pread, self._file.descriptor, wanted, self._at)
            if not piece:
                return
            self._at += len(piece)
            yield piece

    def close(self) -> None:
        """May be called again; the descriptor is closed off the loop."""
        if self._open:
            self._open = False
            later(os.close, self._file.descriptor)
