"""Small files that a long-running process reads and writes in whatever state the disk is.

Every function and method here either works or raises OSError and leaves the files as they were.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

MOST = 4096  # bytes of a small file
FULL_BELOW = 64 * 1024  # bytes; less free space counts as a full disk

# Do not hang on a FIFO, do not follow a link, and let no child inherit the descriptor.
SAFE_FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def has_space(folder: Path) -> bool:
    """The disk has space left; False if that cannot be determined."""
    try:
        disk = os.statvfs(folder)
    except OSError:
        return False
    has_inodes = not disk.f_files or disk.f_favail > 0  # 0 of 0: they are not counted
    return disk.f_bavail * disk.f_frsize >= FULL_BELOW and has_inodes


def read_small(path: Path) -> str:
    """The beginning of a regular file that belongs to this user or to root."""
    descriptor = os.open(path, os.O_RDONLY | SAFE_FLAGS)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        if found.st_uid not in (0, os.geteuid()):
            raise OSError(errno.EPERM, "another user wrote it")
        return os.read(descriptor, MOST).decode("utf-8", "replace")
    finally:
        os.close(descriptor)


class PreallocatedFile:
    """A small file that is replaced atomically, even on a full disk.

    The next content is written over a spare file, whose block is allocated already, and is renamed;
    the replaced file becomes the next spare. So the first `write` needs space and inodes, and later
    ones need none (on file systems that write in place, which excludes btrfs and ZFS).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._spare = path.with_name(f".{path.name}.spare")
        self._old = path.with_name(f".{path.name}.old")

    def write(self, text: str) -> None:
        self._fill(text)
        with suppress(OSError):
            os.unlink(self._old)
        linked = False
        with suppress(OSError):  # at the first write, or without hard links, there is no old file
            os.link(self.path, self._old, follow_symlinks=False)
            linked = True
        os.replace(self._spare, self.path)
        with suppress(OSError):  # without a spare the next write needs space
            if linked:
                os.replace(self._old, self._spare)
            else:
                self._fill("")

    def remove(self) -> None:
        for path in (self.path, self._spare, self._old):
            with suppress(OSError):
                os.unlink(path)

    def _fill(self, text: str) -> None:
        """Write to the spare, padded with spaces so that its block is allocated at once."""
        content = text.encode().ljust(MOST)
        descriptor, new = self._open_spare()
        try:
            write_whole(descriptor, content, 0)
        except OSError:
            if new:
                os.unlink(self._spare)
            raise
        finally:
            os.close(descriptor)

    def _open_spare(self) -> tuple[int, bool]:
        """(descriptor, whether it is new); a link, a FIFO or another user's file is replaced."""
        with suppress(OSError):
            descriptor = os.open(self._spare, os.O_WRONLY | SAFE_FLAGS)
            found = os.fstat(descriptor)
            unshared = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
            if unshared and found.st_uid == os.geteuid():
                return descriptor, False
            os.close(descriptor)
        with suppress(OSError):
            os.unlink(self._spare)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | SAFE_FLAGS
        return os.open(self._spare, flags, 0o600), True


def write_whole(descriptor: int, content: bytes, size: int) -> None:
    """Write all of it, or truncate the file to `size` bytes and raise OSError."""
    try:
        written = os.write(descriptor, content)
        if written < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


class Log:
    """A log file; lines that cannot be written yet are kept in memory, the newest 500 of them."""

    def __init__(self, path: Path, prefix: str = "") -> None:
        self._path, self._prefix = path, prefix
        self._waiting: deque[str] = deque(maxlen=500)

    def say(self, text: str) -> None:
        now = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())
        self._waiting.append(f"{self._prefix}{now} {text}\n")
        self.flush()

    def flush(self) -> None:
        """Write what is still kept in memory."""
        while self._waiting:
            try:
                self._append(self._waiting[0].encode("utf-8", "replace"))
            except OSError:
                return
            self._waiting.popleft()

    def _append(self, line: bytes) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | SAFE_FLAGS
        descriptor = os.open(self._path, flags, 0o600)
        try:
            write_whole(descriptor, line, os.fstat(descriptor).st_size)
        finally:
            os.close(descriptor)
