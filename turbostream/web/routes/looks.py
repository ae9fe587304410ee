"""`/looks`: named scenes, which are saved, recalled, renamed, ordered and deleted.

Only an owner may read or change them. What waits for the disk or for a picture runs off gevent's
loop.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from flask import Flask, jsonify, request
from werkzeug.exceptions import BadRequest, NotFound
from werkzeug.routing import BaseConverter
from werkzeug.wrappers import Response

from turbostream.stream.look_pictures import LookPictures
from turbostream.stream.looks import Look, check_name
from turbostream.stream.looks_json import look_of, scene_of
from turbostream.web.auth.access_control import AccessControl
from turbostream.web.context import AppContext
from turbostream.web.live.off_loop import later, off_loop
from turbostream.web.routes.request_body import json_object, optional_object
from turbostream.web.routes.requested import requested
from turbostream.web.routes.scene_answer import scene_answer

MOST_BYTES = 256 * 1024  # of a look with its thumbnail
CACHED = "private, max-age=31536000, immutable"  # the URL changes with the thumbnail


class LookName(BaseConverter):
    """Any text, so that the answer to an invalid name gives the reason."""

    regex = r"[\s\S]+?"
    part_isolating = False


def add_routes(app: Flask, context: AppContext, access: AccessControl) -> None:
    app.url_map.converters["look"] = LookName
    collection = context.repertoire.collection
    pictures = LookPictures(
        context.channel, collection, lambda shot: context.supervisor.paint(shot)
    )

    @app.get("/looks")
    def looks() -> Response:
        access.require_owner()
        return jsonify(looks=[_shown(look) for look in collection.looks.all])

    @app.patch("/looks")
    def order_looks() -> Response:
        access.spend_change()
        order = _required(json_object(request, ("order",)), "order")
        if not isinstance(order, list):
            raise BadRequest('Send {"order": [...]} with the names of all looks.')
        off_loop(collection.order, order)
        return looks()

    @app.get("/looks/<look:name>/thumbnail.jpg")
    def look_thumbnail(name: str) -> Response:
        access.require_owner()
        found = collection.looks.get(check_name(name)).thumbnail
        if found is None:
            raise NotFound("This look has no thumbnail yet; recall it to have one painted.")
        response = Response(found, content_type="image/jpeg")
        response.headers["Cache-Control"] = CACHED
        return response

    @app.put("/looks/<look:name>")
    def save_look(name: str) -> Response:
        access.spend_change()
        access.accept_body(request, MOST_BYTES)
        name = check_name(name)
        body = optional_object(request, ("scene", "thumbnail"))
        if "thumbnail" in body and "scene" not in body:
            raise BadRequest("A thumbnail needs its scene; send both, or an empty body.")
        change, now = requested(context).channel.snapshot()

        def save() -> Look:
            if "scene" in body:
                look = look_of(name, body["scene"], body.get("thumbnail"))
            else:
                look = Look.of(name, change.scene, now)
            if look.thumbnail is None:
                look = replace(look, thumbnail=pictures.thumbnail(look.scene))
            collection.save(look)
            return look

        return jsonify(_shown(off_loop(save)))

    @app.patch("/looks/<look:name>")
    def rename_look(name: str) -> Response:
        access.spend_change()
        new = check_name(_required(json_object(request, ("name",)), "name"))
        off_loop(collection.rename, check_name(name), new)
        return jsonify(_shown(collection.looks.get(new)))

    @app.delete("/looks/<look:name>")
    def delete_look(name: str) -> Response:
        access.spend_change()
        off_loop(collection.delete, check_name(name))
        return Response(status=204)

    @app.post("/looks/<look:name>/recall")
    def recall_look(name: str) -> Response:
        access.spend_change()
        body = optional_object(request, ("fade_s", "easing"))
        look = collection.looks.get(check_name(name))
        live = requested(context)
        found = live.desk.recall(look.name, **body)
        if look.thumbnail is None:
            later(pictures.complete, look)
        if isinstance(found, float):  # the frame that shows it first is not known yet
            return jsonify({**scene_answer(live.channel), "waits_s": found})
        return jsonify({**scene_answer(live.channel, found), "waits_s": 0.0})


def _shown(look: Look) -> dict[str, Any]:
    address = None
    if look.thumbnail is not None:
        version = hashlib.sha256(look.thumbnail).hexdigest()[:16]
        address = f"looks/{quote(look.name, safe='')}/thumbnail.jpg?v={version}"
    return {
        "name": look.name,
        "prompt": look.scene.prompt,
        "thumbnail": address,
        "scene": scene_of(look),
    }


def _required(body: dict[str, Any], name: str) -> object:
    if name not in body:
        raise BadRequest(f'The field "{name}" is missing; send {{"{name}": ...}}.')
    return body[name]
