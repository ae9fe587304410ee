"""`GET /clip?seconds=10&format=mp4|webp`: what was shown last, as a file to send. For owners.

One clip is encoded at a time, off gevent's loop; a few requests wait, more are refused.
"""

from __future__ import annotations

import math

from flask import Flask, Response, request
from werkzeug.exceptions import BadRequest, ServiceUnavailable

from turbostream.stream.recording import CLIP_FORMS, LONGEST_CLIP_S
from turbostream.web.auth.access_control import AccessControl
from turbostream.web.context import AppContext
from turbostream.web.live.off_loop import InTurn, TooManyWait

DEFAULT_S = 10.0
MOST_WAITING = 2
RETRY_AFTER_S = 10
KINDS = {"mp4": "video/mp4", "webp": "image/webp"}


def add_routes(app: Flask, context: AppContext, access: AccessControl) -> None:
    in_turn = InTurn(MOST_WAITING)

    @app.get("/clip")
    def clip() -> Response:
        access.require_owner()
        seconds, form = _seconds(), _form()
        if context.clip is None:
            raise ServiceUnavailable("This server makes no clips.")
        try:
            data = in_turn(context.clip, seconds, form)
        except TooManyWait:
            raise ServiceUnavailable(
                "Other clips are being encoded; try again in a moment.", retry_after=RETRY_AFTER_S
            ) from None
        response = Response(data, content_type=KINDS[form])
        response.headers["Content-Disposition"] = f'attachment; filename="clip.{form}"'
        return response


def _seconds() -> float:
    try:
        seconds = float(request.args.get("seconds", DEFAULT_S))
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= LONGEST_CLIP_S:
        raise BadRequest(f"The seconds are a number above 0, at most {LONGEST_CLIP_S:g}.")
    return seconds


def _form() -> str:
    form = request.args.get("format", CLIP_FORMS[0])
    if form not in CLIP_FORMS:
        raise BadRequest(f"The format is one of {', '.join(CLIP_FORMS)}.")
    return form
