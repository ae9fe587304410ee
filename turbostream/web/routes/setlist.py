"""`/setlist`: looks that are played in order. Only an owner may read or change it."""

from __future__ import annotations

from flask import Flask, jsonify, request
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from turbostream.stream import setlist as stream_setlist
from turbostream.web.auth.access_control import AccessControl
from turbostream.web.context import AppContext
from turbostream.web.live.off_loop import off_loop
from turbostream.web.routes.request_body import json_object, optional_object

MOST_BYTES = 512 * 1024  # of a setlist


def add_routes(app: Flask, context: AppContext, access: AccessControl) -> None:
    collection, player = context.repertoire.collection, context.repertoire.player

    def answer() -> Response:
        return jsonify({**collection.setlist.as_json(), **player.as_json()})

    @app.get("/setlist")
    def setlist() -> Response:
        access.require_owner()
        return answer()

    @app.put("/setlist")
    def put_setlist() -> Response:
        access.spend_change()
        access.accept_body(request, MOST_BYTES)
        body = json_object(request, ("entries", "loop"))
        if "entries" not in body:
            raise BadRequest(stream_setlist.FORM)
        off_loop(collection.put_setlist, stream_setlist.from_json(body))
        return answer()

    @app.patch("/setlist")
    def patch_setlist() -> Response:
        access.spend_change()
        body = json_object(request, ("playing", "position"))
        playing = body.get("playing")
        if "playing" in body and not isinstance(playing, bool):
            raise BadRequest('Send {"playing": true} or {"playing": false}.')
        if "position" in body:
            player.jump(body["position"])
        if playing is not None:
            (player.play if playing else player.pause)()
        return answer()

    @app.post("/setlist/next")
    def next_entry() -> Response:
        return step(1)

    @app.post("/setlist/previous")
    def previous_entry() -> Response:
        return step(-1)

    def step(by: int) -> Response:
        access.spend_change()
        optional_object(request, ())
        player.step(by)
        return answer()
