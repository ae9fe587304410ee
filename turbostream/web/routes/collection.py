"""`GET /export` and `POST /import`: all looks, the setlist and the mappings as one JSON file."""

from __future__ import annotations

from flask import Flask, jsonify, request
from werkzeug.exceptions import BadRequest
from werkzeug.wrappers import Response

from turbostream.stream import looks_json, state_folder
from turbostream.web.auth.access_control import AccessControl
from turbostream.web.context import AppContext
from turbostream.web.live.off_loop import InTurn, off_loop

MOST_VALUES = 250_000  # in an imported file; once parsed, each takes a few hundred bytes of memory


def add_routes(app: Flask, context: AppContext, access: AccessControl) -> None:
    collection = context.repertoire.collection
    in_turn = InTurn()  # while an import is parsed it takes many times its size in memory

    @app.get("/export")
    def export() -> Response:
        access.require_owner()
        text = off_loop(looks_json.to_text, collection.content)
        response = Response(text, content_type="application/json")
        response.headers["Content-Disposition"] = 'attachment; filename="looks.json"'
        return response

    @app.post("/import")
    def import_looks() -> Response:
        access.spend_change()
        access.accept_body(request, looks_json.MOST_BYTES)
        body = request.get_data()
        if sum(map(body.count, (b"[", b"{", b","))) > MOST_VALUES:
            raise BadRequest(
                f"The file holds more than {MOST_VALUES:,} values; send what GET /export gave."
            )

        def add() -> tuple[int, int]:
            content = looks_json.from_json(state_folder.parse(body))
            return len(content.looks), collection.add(content)

        try:
            looks, replaced = in_turn(add)
        except state_folder.UntrustedFile:
            raise BadRequest("The file is not JSON; send what GET /export gave.") from None
        return jsonify(looks=looks, replaced=replaced)
