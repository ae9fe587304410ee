"""`POST /undo` and `POST /redo`: one step back or forward in the history of the scene."""

from __future__ import annotations

from flask import Flask, jsonify, request
from werkzeug.wrappers import Response

from turbostream.web.auth.access_control import AccessControl
from turbostream.web.context import AppContext
from turbostream.web.routes.request_body import optional_object
from turbostream.web.routes.requested import requested
from turbostream.web.routes.scene_answer import scene_answer


def add_routes(app: Flask, context: AppContext, access: AccessControl) -> None:
    @app.post("/undo")
    def undo() -> Response:
        access.spend_change()
        channel = requested(context).channel
        change = channel.undo(**optional_object(request, ("fade_s",)))
        return jsonify(scene_answer(channel, change))

    @app.post("/redo")
    def redo() -> Response:
        access.spend_change()
        channel = requested(context).channel
        change = channel.redo(**optional_object(request, ("fade_s",)))
        return jsonify(scene_answer(channel, change))
