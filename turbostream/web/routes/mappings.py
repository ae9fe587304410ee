"""`/mappings`: which MIDI control and which part of the sound sets which parameter.

Only an owner may read or change them. The browser applies them; `mappings.js` reads them here.
"""

from __future__ import annotations

from flask import Flask, jsonify, request
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from turbostream.stream import mappings as stream_mappings
from turbostream.stream.parameters import PARAMETERS
from turbostream.web.auth.access_control import AccessControl
from turbostream.web.context import AppContext
from turbostream.web.live.off_loop import off_loop
from turbostream.web.routes.request_body import json_object

MOST_BYTES = 512 * 1024  # of all mappings
FORM = 'Send the whole document: {"midi": [...], "sound": [...]}.'


def add_routes(app: Flask, context: AppContext, access: AccessControl) -> None:
    collection = context.repertoire.collection

    def answer() -> Response:
        return jsonify(stream_mappings.with_unknown(collection.mappings, PARAMETERS.__contains__))

    @app.get("/mappings")
    def mappings() -> Response:
        access.require_owner()
        return answer()

    @app.put("/mappings")
    def put_mappings() -> Response:
        access.spend_change()
        access.accept_body(request, MOST_BYTES)
        body = json_object(request, ("midi", "sound"))
        if set(body) != {"midi", "sound"}:
            raise BadRequest(FORM)
        off_loop(collection.put_mappings, stream_mappings.from_json(body))
        return answer()
