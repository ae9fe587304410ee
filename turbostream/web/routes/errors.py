"""One shape for every error: {"status": "error", "error": "<a sentence that says what to do>"}."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from flask import Flask, jsonify, request
from werkzeug.exceptions import BadRequest, HTTPException, RequestEntityTooLarge, Unauthorized
from werkzeug.wrappers import Response

from turbostream.stream.channel import NothingToUndo
from turbostream.stream.channel_names import ChannelConflict, ChannelError, UnknownChannel
from turbostream.stream.collection import LookInUse, NotServing
from turbostream.stream.follower import Following
from turbostream.stream.looks import UnknownLook
from turbostream.stream.looks_file import NotKept
from turbostream.stream.push_address import PushAddressError
from turbostream.stream.recording import NoSuchRecording, RecordingConflict, RecordingError
from turbostream.stream.scene_checks import SceneError
from turbostream.stream.setlist import NoFurtherEntry
from turbostream.stream.shot import ShotError
from turbostream.stream.source_status import SourceError
from turbostream.web.auth.access_control import OtherLinkNeeded

STATUSES: dict[type[Exception], int] = {
    ChannelError: 400,
    UnknownChannel: 404,
    ChannelConflict: 409,
    Following: 409,
    NothingToUndo: 409,
    NoFurtherEntry: 409,
    LookInUse: 409,
    UnknownLook: 404,
    NotServing: 503,
    NotKept: 507,  # Insufficient Storage (RFC 4918)
    NoSuchRecording: 404,
    RecordingConflict: 409,
    PushAddressError: 400,
    RecordingError: 507,
}

log = logging.getLogger(__name__)


def status_of(error: Exception) -> int:
    """The status with which a fault in a request is answered."""
    return next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), 400)


def add_handlers(app: Flask, page_for_strangers: Callable[[int], Response | None]) -> None:
    """`page_for_strangers` may answer a refusal that another link ends (of this status) with a page
    instead, if the request prefers HTML."""
    sentences = {
        404: "There is nothing at this address; the page is at /.",
        405: "This address does not accept that method.",
    }

    @app.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> Response:
        code = error.code or 500
        if isinstance(error, Unauthorized | OtherLinkNeeded) and (page := page_for_strangers(code)):
            return page
        has_own_sentence = error.description != type(error).description
        sentence = error.description if has_own_sentence else sentences.get(code)
        if isinstance(error, RequestEntityTooLarge):
            most = request.max_content_length or 0
            sentence = f"The request is too large; at most {most:,} bytes are accepted."
        response = jsonify(
            status="error", error=sentence or error.description or "The request failed."
        )
        response.status_code = code
        for name, value in error.get_headers():
            if name not in ("Content-Type", "Content-Length"):
                response.headers.add(name, value)  # WWW-Authenticate may come twice
        return response

    @app.errorhandler(SceneError)
    @app.errorhandler(ShotError)
    def refuse_scene(error: SceneError | ShotError) -> Response:
        return refuse(BadRequest(str(error)))

    @app.errorhandler(SourceError)
    def refuse_source(error: SourceError) -> Response:
        return _answer_with(error.status, refuse, error)

    for kind, code in STATUSES.items():
        app.register_error_handler(kind, partial(_answer_with, code, refuse))

    @app.errorhandler(Exception)
    def fail(error: Exception) -> Response:
        log.error("[flask] %s %s failed", request.method, request.path, exc_info=error)
        response = jsonify(status="error", error="The server failed; see its log.")
        response.status_code = 500
        return response


def _answer_with(
    code: int, refuse: Callable[[HTTPException], Response], error: Exception
) -> Response:
    answer = HTTPException(str(error))
    answer.code = code
    return refuse(answer)
