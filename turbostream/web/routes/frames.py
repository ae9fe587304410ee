"""`GET /frames/{n}/shot`: what one of the last frames was painted from."""

from __future__ import annotations

import re

from flask import Flask, jsonify
from werkzeug.exceptions import Forbidden, NotFound
from werkzeug.wrappers import Response

from turbostream.stream.shot_json import to_json
from turbostream.web.auth.access_control import AccessControl
from turbostream.web.context import AppContext
from turbostream.web.routes.requested import requested


def add_routes(app: Flask, context: AppContext, access: AccessControl) -> None:
    @app.get("/frames/<number>/shot")
    def shot_of_frame(number: str) -> Response:
        if not access.may_read_shots():
            raise Forbidden(
                "This link is view-only; frames' shots need the owner's link or RECIPES=all."
            )
        if not re.fullmatch(r"[0-9]{1,18}", number):
            raise NotFound("A frame is named by its number; X-Frame-Id of the stream has it.")
        recent = requested(context).recent
        painted = recent.find(int(number))
        if painted is None:
            raise NotFound(
                f"Frame {int(number)} is not among the last {recent.most:,}; ask for a later frame."
            )
        return jsonify(
            number=painted.number, shot=to_json(painted.shot), fingerprint=painted.fingerprint
        )
