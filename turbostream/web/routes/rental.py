"""The guard of a rented instance, seen from the server: when it ends the rental, and one hour more.

The guard is a process of its own (deploy/guard.sh) that outlives this server. It writes
`guard.json` in STATE_DIR every few seconds; a wish for more time is a file that it takes away.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from flask import Flask, Response, jsonify
from werkzeug.exceptions import Conflict, HTTPException

from turbostream.stream import state_folder

SILENT_S = 180.0  # a guard that has not written for so long is not there
EXTENSION_MINUTES = 60


class NotStored(HTTPException):
    code = 507
    description = "Insufficient Storage"


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
            "The guard of this instance has fallen silent: nothing ends this rental. "
            "Run start_stream_server.sh again, or destroy it yourself when you are done."
        )
    return {**guard, "ends_at": ends_at}


def extend(folder: Path) -> None:
    """Ask the guard for EXTENSION_MINUTES more; asking twice at once is asking once.

    Raises OSError, and leaves nothing behind, where not even an empty file can be made.
    """
    wish = folder / "guard.extend"
    try:
        state_folder.write(wish, f"{EXTENSION_MINUTES}\n")
    except OSError:
        # The disk is full. An empty file needs no room on it, and the guard reads it as an hour.
        state_folder.write(wish, "")


def add_route(app: Flask, folder: Path) -> None:
    """POST /guard/extend, for whoever may change the stream."""

    @app.post("/guard/extend")
    def extend_guard() -> Response:
        if read(folder, time.time()) is None:
            raise Conflict("No guard watches over this machine, so there is nothing to extend.")
        try:
            extend(folder)
        except OSError as error:
            raise NotStored(
                f"The guard could not be asked ({os.strerror(error.errno or 0)}): make room on the "
                "disk of this machine, then ask again."
            ) from None
        return jsonify(status="ok", minutes=EXTENSION_MINUTES)
