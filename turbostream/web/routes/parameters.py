"""`GET` and `PATCH /parameters`: the parameter table, and values for it."""

from __future__ import annotations

from flask import Flask, jsonify, request
from werkzeug.wrappers import Response

from turbostream.stream.parameters import PARAMETERS, as_json
from turbostream.web.auth.access_control import AccessControl
from turbostream.web.context import AppContext
from turbostream.web.routes.request_body import json_object
from turbostream.web.routes.requested import requested
from turbostream.web.routes.scene_answer import scene_answer
from turbostream.web.routes.unread_words import unread_words


def add_routes(app: Flask, context: AppContext, access: AccessControl) -> None:
    @app.get("/parameters")
    def parameters() -> Response:
        return jsonify(parameters=as_json())

    @app.patch("/parameters")
    def patch_parameters() -> Response:
        access.spend_change()
        live = requested(context)
        values = json_object(request, tuple(PARAMETERS))
        access.check_parameters(values)
        change = live.desk.apply(values)
        warning = unread_words(context.supervisor, change.scene.prompt)
        return jsonify({**scene_answer(live.channel, change), **warning})
