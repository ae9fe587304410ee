"""`POST /guard/extend`: an hour more on a rented machine, for the owner."""

from __future__ import annotations

import os
import time
from pathlib import Path

from flask import Flask, Response, jsonify
from werkzeug.exceptions import Conflict, HTTPException

from turbostream.web import rental


class InsufficientStorage(HTTPException):
    code = 507
    description = "Insufficient Storage"


def add_routes(app: Flask, folder: Path) -> None:
    """folder: STATE_DIR, where the guard reads and writes."""

    @app.post("/guard/extend")
    def extend_rental() -> Response:
        if rental.read(folder, time.time()) is None:
            raise Conflict("No guard runs on this machine, so there is nothing to extend.")
        try:
            rental.extend(folder)
        except OSError as error:
            raise InsufficientStorage(
                f"The guard could not be asked ({os.strerror(error.errno or 0)}): make room on the "
                "disk of this machine, then ask again."
            ) from None
        return jsonify(status="ok", minutes=rental.EXTENSION_MINUTES)
