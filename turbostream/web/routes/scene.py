"""`POST /prompt`, and `GET` and `PATCH /scene`: what is shown, and how it moves."""

from __future__ import annotations

import logging

from flask import Flask, jsonify, redirect, request
from werkzeug.wrappers import Response

from turbostream.stream.scene_checks import PATCHABLE
from turbostream.web.auth.access_control import AccessControl
from turbostream.web.context import AppContext
from turbostream.web.routes.request_body import field_of, json_object
from turbostream.web.routes.requested import requested
from turbostream.web.routes.scene_answer import scene_answer
from turbostream.web.routes.unread_words import unread_words

log = logging.getLogger(__name__)


def add_routes(app: Flask, context: AppContext, access: AccessControl) -> None:
    supervisor = context.supervisor

    @app.post("/prompt")
    def prompt() -> Response:
        log.info("[prompt] Request received")
        access.spend_change()
        log.info("[prompt] Raw data received: %.200r", request.get_data()[:200])
        text, from_form = field_of(request, "prompt")
        live = requested(context)
        change = live.channel.change({"prompt": text}, supervisor.check)
        log.info("[prompt] => Successfully set to: %s", change.scene.prompt)
        if from_form:
            page = "./" if live is context.channels.default else f"./?channel={live.name}"
            return redirect(page, code=303)  # the page, also under a proxy's prefix
        return jsonify(
            status="ok",
            prompt=change.scene.prompt,
            frame=change.after,
            **unread_words(supervisor, change.scene.prompt),
        )

    @app.get("/scene")
    def scene() -> Response:
        channel = requested(context).channel
        return jsonify(scene_answer(channel, with_recipe=access.may_read_shots()))

    @app.patch("/scene")
    def patch_scene() -> Response:
        access.spend_change()
        channel = requested(context).channel
        change = channel.change(json_object(request, PATCHABLE), supervisor.check)
        warning = unread_words(supervisor, change.scene.prompt)
        return jsonify({**scene_answer(channel, change), **warning})
