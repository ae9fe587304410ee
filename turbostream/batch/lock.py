"""The folder of the pictures: one run at a time, and errors of its disk as one sentence.

Runs on the caller's thread. Knows nothing of what is in the folder.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from turbostream.batch.prompts import BatchError

log = logging.getLogger(__name__)

NO_LOCKS = (errno.ENOTSUP, errno.ENOLCK, errno.EBADF, errno.EINVAL)  # some network file systems


@contextmanager
def explained(out: Path) -> Iterator[None]:
    """Turn an error of the disk into a BatchError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BatchError(
                f"The disk with {out} is full: free some space and run the same command again; it "
                "continues from here, and every picture in the manifest is complete."
            ) from error
        raise BatchError(
            f"{error.filename or out} cannot be used ({error.strerror}): when that is corrected, "
            "the same command continues from here."
        ) from error


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Lock the folder, which is created if necessary. The folder itself is locked, so that no lock
    file stays behind."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise BatchError(f"{error.filename} is a file; give a folder for the pictures.") from None
    if not os.access(out, os.W_OK | os.X_OK):
        raise BatchError(f"The folder {out} cannot be written to; give another one.")
    held = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BatchError(
                f"Another run is painting into {out}: wait until it has ended, or give another "
                "folder."
            ) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            log.warning("[batch] %s cannot be locked: do not start a second run into it.", out)
        yield
    finally:
        os.close(held)
