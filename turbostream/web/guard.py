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
from werkzeug.exceptions import Conflict

from turbostream.stream import state_folder

SILENT_S = 180.0  # a guard that has not written for so long is not there
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
            "The guard of this instance has fallen silent: nothing ends this rental. "
            "Run start_stream_server.sh again, or destroy it yourself when you are done."
        )
    return {**guard, "ends_at": ends_at}


def extend(folder: Path) -> None:
    """Ask the guard for EXTENSION_MINUTES more; asking twice at once is asking once."""
    wish = folder / f".guard.extend.{os.getpid()}"
    wish.write_text(f"{EXTENSION_MINUTES}\n", encoding="utf-8")
    wish.replace(folder / "guard.extend")


def add_route(app: Flask, folder: Path) -> None:
    """POST /guard/extend, for whoever may change the stream."""

    @app.post("/guard/extend")
    def extend_guard() -> Response:
        if read(folder, time.time()) is None:
            raise Conflict("No guard watches over this machine, so there is nothing to extend.")
        extend(folder)
        return jsonify(status="ok", minutes=EXTENSION_MINUTES)
