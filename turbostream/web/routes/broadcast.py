"""`/broadcast`: where the stream is pushed to. Only for owners; the stream key is never answered.

Whatever may wait for a connection or a disk runs off gevent's loop.
"""

from __future__ import annotations

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import BadRequest, ServiceUnavailable

from turbostream.stream.recording import Broadcaster
from turbostream.web.auth.access_control import AccessControl
from turbostream.web.context import AppContext
from turbostream.web.live.off_loop import InTurn
from turbostream.web.routes.request_body import optional_object


def add_routes(app: Flask, context: AppContext, access: AccessControl) -> None:
    in_turn = InTurn()

    def broadcaster() -> Broadcaster:
        if context.broadcaster is None:
            raise ServiceUnavailable("This server cannot broadcast.")
        return context.broadcaster

    @app.get("/broadcast")
    def broadcast() -> Response:
        access.require_owner()
        return jsonify(broadcaster().status())

    @app.put("/broadcast")
    def begin_broadcast() -> Response:
        access.spend_change()
        url = optional_object(request, ("url",)).get("url", "")
        if not isinstance(url, str):
            raise BadRequest('Send {"url": "rtmp://HOST/APP/KEY"}, or {} for that of PUSH_URL.')
        return jsonify(in_turn(broadcaster().start, url.strip()))

    @app.delete("/broadcast")
    def end_broadcast() -> Response:
        access.spend_change()
        return jsonify(in_turn(broadcaster().stop))
