"""One shape for every error: {"status": "error", "error": "<a sentence that says what to do>"}."""

from __future__ import annotations

import logging
from collections.abc import Callable

from flask import Flask, jsonify, request
from werkzeug.exceptions import BadRequest, HTTPException, Unauthorized
from werkzeug.wrappers import Response

from turbostream.stream.scene import SceneError

log = logging.getLogger(__name__)


def add_handlers(app: Flask, stranger_page: Callable[[], Response | None]) -> None:
    """`stranger_page` may answer a 401 with a page instead, for whoever wants one."""
    sentences = {
        404: "There is nothing at this address; the page is at /.",
        405: "This address does not take that method.",
        413: f"The request is too large; {app.config['MAX_CONTENT_LENGTH']:,} bytes is the most.",
    }

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> Response:
        if isinstance(error, Unauthorized) and (page := stranger_page()) is not None:
            return page
        code = error.code or 500
        ours = error.description != type(error).description  # a route gave a sentence of its own
        sentence = error.description if ours else sentences.get(code) or error.description
        response = jsonify(status="error", error=sentence or "The request failed.")
        response.status_code = code
        for name, value in error.get_headers():
            if name not in ("Content-Type", "Content-Length"):
                response.headers.add(name, value)  # WWW-Authenticate may come twice
        return response

    @app.errorhandler(SceneError)
    def refuse_scene(error: SceneError) -> Response:
        return refuse(BadRequest(str(error)))

    @app.errorhandler(Exception)
    def fail(error: Exception) -> Response:
        log.error("[flask] %s %s failed", request.method, request.path, exc_info=error)
        response = jsonify(status="error", error="The server failed; its log says where.")
        response.status_code = 500
        return response
