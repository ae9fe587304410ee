"""The folder of an HLS broadcast: only a folder that holds nothing else is written to.

Any thread. A web server may publish the folder, so nothing else belongs there.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from turbostream.stream.recording import RecordingError

PLAYLIST = "stream.m3u8"
_OWN = re.compile(r"stream\.m3u8|stream-[0-9]+\.ts")  # and .tmp, while they are written


def prepare(folder: Path, state_folder: Path) -> None:
    """Create the folder if it is missing. Raises RecordingError if it cannot be used."""
    try:
        real, private = folder.resolve(), state_folder.resolve()
        if real == private or private in real.parents or real in private.parents:
            raise RecordingError(
                f"{folder} belongs to STATE_DIR, which has secrets; give another HLS folder."
            )
        folder.mkdir(mode=0o755, exist_ok=True)
        foreign = [name for name in os.listdir(folder) if not _is_own(name)]
    except OSError as error:
        raise RecordingError(f"{folder} cannot be written ({error.strerror}).") from None
    if foreign:
        raise RecordingError(
            f"{folder} has other files in it; give an empty folder, as a broadcast deletes its "
            "own files there."
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise RecordingError(f"{folder} cannot be written (Permission denied).")


def remove_segments(folder: Path) -> None:
    """Delete what an earlier broadcast left. Raises OSError."""
    for name in os.listdir(folder):
        if _is_own(name):
            (folder / name).unlink(missing_ok=True)


def _is_own(name: str) -> bool:
    return _OWN.fullmatch(name.removesuffix(".tmp")) is not None
