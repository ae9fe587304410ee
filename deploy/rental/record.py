"""What is known of the current rental, in one file: rental.json.

It is written before anything is rented, so that no rental can be forgotten, and the scripts read
the address from it (deploy/connection.sh).
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HOME = Path(os.environ.get("TURBOSTREAM_HOME") or "~/.turbostream").expanduser()
FILE = HOME / "rental.json"


def read() -> dict[str, Any]:
    """The rental, {} without one."""
    try:
        found = json.loads(FILE.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write(**values: Any) -> dict[str, Any]:
    """Change the named values, atomically; only the owner can read the file."""
    HOME.mkdir(mode=0o700, parents=True, exist_ok=True)
    merged = {**read(), **values}
    temporary = FILE.with_suffix(f".{os.getpid()}")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(merged, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(FILE)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return merged


@contextmanager
def renting() -> Iterator[bool]:
    """False if another process is renting: the record of one of the rentals would be lost."""
    HOME.mkdir(mode=0o700, parents=True, exist_ok=True)
    with FILE.with_suffix(".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def forget() -> None:
    FILE.unlink(missing_ok=True)
