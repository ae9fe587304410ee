"""Files in STATE_DIR, read and written with care: others on this machine may have put them there.

A file is trusted when it is a regular file (no link, FIFO or device), belongs to this user or to
root, and nobody else may write it. Knows files and JSON, and nothing of what they mean. Any thread.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

MOST_BYTES = 64 * 1024
UNFINISHED = re.compile("[0-9a-f]{16}")  # the end of a temporary file's name
UNFINISHED_S = 60.0  # a younger temporary file may still be in use
LONGEST_NUMBER = 20  # digits; more is no count, time or port


class UntrustedFile(ValueError):
    """One clause on why a file cannot be believed, to go behind its name."""


def read_json(file: Path, most_bytes: int = MOST_BYTES) -> Any:
    """The JSON in `file`; all its numbers are finite.

    Raises OSError where the file cannot be read (FileNotFoundError where there is none), and
    UntrustedFile where it is there and is not to be believed.
    """
    return parse(read_bytes(file, most_bytes))


def parse(content: bytes) -> Any:
    """The JSON in `content`; raises UntrustedFile as `read_json` does."""
    try:
        text = content.decode("utf-8")
        return json.loads(text, parse_constant=_number, parse_int=_integer, parse_float=_number)
    except (ValueError, RecursionError):
        raise UntrustedFile("does not hold the JSON that this program writes") from None


def read_bytes(file: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """The content of a trusted file. Raises OSError and UntrustedFile as `read_json` does."""
    with _trusted(file) as descriptor, open(descriptor, "rb", closefd=False) as opened:
        content = opened.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise UntrustedFile(f"is larger than {most_bytes:,} bytes")
    return content


def close_to_others(file: Path) -> bool:
    """Make a trusted file readable by its owner only; True if it was not. For secrets."""
    with _trusted(file) as descriptor:
        if not os.fstat(descriptor).st_mode & 0o077:
            return False
        os.fchmod(descriptor, 0o600)
        return True


def write(file: Path, text: str, sync: bool = True) -> None:
    """Put `text` in place of `file`, whole or not at all, readable by its owner only.

    Without `sync` a loss of power may take it, while the end of this process cannot.
    Raises OSError and leaves neither a torn file nor a temporary one.
    """
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            if sync:
                os.fsync(descriptor)
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_unfinished(file: Path) -> None:
    """Delete the temporary files that processes killed during `write` left beside `file`. Those
    younger than UNFINISHED_S stay: another process may be writing them."""
    with suppress(OSError):
        for left in file.parent.iterdir():
            prefix, _, token = left.name.rpartition(".")
            if prefix != f".{file.name}" or not UNFINISHED.fullmatch(token):
                continue
            if time.time() - left.lstat().st_mtime > UNFINISHED_S:
                left.unlink()


def overwrite(file: Path, text: str) -> None:
    """Put `text` into the room that a trusted `file` has already, for when a disk is full.

    Raises OSError and UntrustedFile; the content is only ever the old one or the new one, with
    spaces at its end.
    """
    with _trusted(file, os.O_RDWR) as descriptor:
        content = text.encode("utf-8")
        size = os.fstat(descriptor).st_size
        if len(content) > size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.pwrite(descriptor, content.ljust(size), 0)


def own_folder(folder: Path) -> Path:
    """`folder`, made if it is missing, where only this user can put files.

    Raises OSError, and UntrustedFile where the folder is somebody else's.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise UntrustedFile("is a symbolic link")
    _check_owner(found)
    return folder


@contextmanager
def _trusted(file: Path, access: int = os.O_RDONLY) -> Iterator[int]:
    """A descriptor of `file`, open as `access` says; raises OSError and UntrustedFile."""
    # NOFOLLOW refuses a link, NONBLOCK returns at once from a FIFO that nobody writes to.
    try:
        descriptor = os.open(file, access | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        if file.is_symlink():
            raise UntrustedFile("is a symbolic link") from None
        raise
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise UntrustedFile("is not a regular file")
        _check_owner(found)
        yield descriptor
    finally:
        os.close(descriptor)


def _check_owner(found: os.stat_result) -> None:
    if found.st_uid not in (os.geteuid(), 0):
        raise UntrustedFile(f"belongs to another user (uid {found.st_uid})")
    if found.st_mode & 0o022:
        raise UntrustedFile("can be written by other users")


def _integer(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise ValueError("a number of too many digits")
    return int(digits)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number that is not finite")
    return value
