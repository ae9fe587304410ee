"""`GET /channels`, and `PUT` and `DELETE /channels/NAME`: the channels of this server. `GET
/channels/NAME/links`: the links that open one of them alone."""

from __future__ import annotations

import logging
import time
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import Conflict

from turbostream.stream.channel_spec import FIELDS, spec_of
from turbostream.stream.live_channel import LiveChannel
from turbostream.web.auth import share_link
from turbostream.web.auth.access_control import AccessControl
from turbostream.web.auth.tokens import TokensUnusable
from turbostream.web.context import AppContext
from turbostream.web.live.viewers import Viewers
from turbostream.web.routes.request_body import optional_object

log = logging.getLogger(__name__)


def add_routes(app: Flask, context: AppContext, access: AccessControl, viewers: Viewers) -> None:
    every = context.channels

    def shown(live: LiveChannel) -> dict[str, Any]:
        width, height = live.size()
        follows = live.spec.follows
        return {
            "name": live.name,
            "width": width,
            "height": height,
            "target_fps": live.spec.target_fps,
            "fps": live.meter.figures(time.monotonic()).fps,
            "viewers": viewers.of(live.channel),
            "follows": None if follows is None else follows.as_json(),
            "source": live.spec.source,
        }

    @app.get("/channels")
    def channels() -> Response:
        return jsonify(channels=[shown(live) for live in every])

    @app.get("/channels/<look:name>/links")
    def channel_links(name: str) -> Response:
        access.require_owner()
        live, asked = every.get(name), f"{request.scheme}://{request.host}"
        try:
            links = share_link.channel_links(context.settings, context.tokens, live.name, asked)
        except TokensUnusable as error:
            raise Conflict(str(error)) from None
        return jsonify(links)

    @app.put("/channels/<look:name>")
    def make_channel(name: str) -> tuple[Response, int]:
        access.spend_change()
        spec = spec_of(name, optional_object(request, FIELDS), every.spec_of)
        live = every.create(spec)
        log.info("[channels] %s was made.", live.name)
        return jsonify(shown(live)), 201

    @app.delete("/channels/<look:name>")
    def remove_channel(name: str) -> Response:
        access.spend_change()
        every.remove(name)
        log.info("[channels] %s was removed.", name)
        return Response(status=204)
