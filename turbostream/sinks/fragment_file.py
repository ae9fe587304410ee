"""A file that grows by whole fragments of a video, whatever ends the program or fills the disk.

One thread at a time. Knows no video: whoever calls `commit` knows that a fragment is complete.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


class FragmentFile:
    """What the muxer writes to. It is kept in memory until `commit`, so that the file never ends
    within a fragment. size: bytes in the file."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, FileExistsError rather than overwrite a file."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        self._pending = bytearray()
        self._failed = False
        self.size = 0

    def write(self, data: bytes) -> int:
        """Called by the muxer. What follows a fragment that could not be written is dropped: it
        would not fit what is in the file."""
        if not self._failed:
            self._pending += data
        return len(data)

    def commit(self) -> bool:
        """Write to the file; whether there was something. Raises OSError, after which the file
        ends with the fragment before."""
        if not self._pending:
            return False
        data, self._pending = memoryview(bytes(self._pending)), bytearray()
        written = 0
        try:
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError:
            self._failed = True
            with suppress(OSError):  # the error of the write says more
                os.ftruncate(self._descriptor, self.size)
            raise
        self.size += written
        return True

    def close(self) -> None:
        os.close(self._descriptor)
