"""When the rental of this machine ends, and how to ask for an hour more.

The guard is a separate process (deploy/instance/) that outlives this server and ends the rental. It
writes `guard.json` in STATE_DIR every few seconds; a request for more time is a file that it
removes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from turbostream.stream import state_folder

SILENT_S = 180.0  # a guard that has not written for so long is not running
EXTENSION_MINUTES = 60


def read(folder: Path, now: float) -> dict[str, Any] | None:
    """What /status shows: at least `ends_at` (unix s) and `message`; None without a guard."""
    try:
        guard = state_folder.read_json(folder / "guard.json")
        written, ends_at = float(guard["written_at"]), float(guard["ends_at"])
    except (OSError, ValueError, KeyError, TypeError):  # UntrustedFile is a ValueError
        return None
    if now - written > SILENT_S:
        guard["armed"] = False
        guard["message"] = (
            "The guard of this instance has stopped: nothing ends this rental. "
            "Run start_stream_server.sh again, or destroy it yourself when you are done."
        )
    return {**guard, "ends_at": ends_at}


def extend(folder: Path) -> None:
    """Ask the guard for EXTENSION_MINUTES more; two requests at once count as one.

    Raises OSError, and leaves nothing behind, where not even an empty file can be made.
    """
    request = folder / "guard.extend"
    try:
        state_folder.write(request, f"{EXTENSION_MINUTES}\n")
    except OSError:
        # The disk is full. An empty file needs no room on it, and the guard reads it as an hour.
        state_folder.write(request, "")
