"""`GET /stream`, and `POST /stream/{id}/shown`, with which a viewer acknowledges a frame."""

from __future__ import annotations

from flask import Flask, Response, g, request
from werkzeug.exceptions import BadRequest, NotFound, ServiceUnavailable

from turbostream.web.auth.access_control import AccessControl
from turbostream.web.auth.origin import is_browser
from turbostream.web.context import AppContext
from turbostream.web.live.multipart import BOUNDARY, CONTENT_TYPE
from turbostream.web.live.schedule import repeat_after_s
from turbostream.web.live.streams import LiveStreams
from turbostream.web.routes.request_body import json_object
from turbostream.web.routes.requested import requested

# A script reads the same bytes under a type that every browser's fetch() accepts.
SCRIPT_TYPE = "application/octet-stream"
HEADERS = {
    "Pragma": "no-cache",
    "X-Accel-Buffering": "no",
    "Connection": "close",
    "X-Boundary": BOUNDARY,
}
RETRY_AFTER_S = 5


def add_routes(app: Flask, context: AppContext, access: AccessControl, live: LiveStreams) -> None:
    @app.get("/stream")
    def stream() -> Response:
        interval_s = _interval_s(request.args.get("fps"))
        if live.viewers.full:
            raise ServiceUnavailable(
                f"All {live.viewers.most} places are taken; try again soon, or raise MAX_VIEWERS.",
                retry_after=RETRY_AFTER_S,
            )
        script = request.accept_mimetypes.best == SCRIPT_TYPE
        repeat_s = repeat_after_s(is_browser(request.headers), script)
        channel = requested(context).channel
        body = live.open(channel, script, interval_s, repeat_s, access.wants_recipe())
        response = Response(
            body,
            content_type=SCRIPT_TYPE if script else CONTENT_TYPE,
            direct_passthrough=True,  # so that our server finds the StreamBody
        )
        response.headers.update(HEADERS)
        response.headers["X-Stream-Id"] = body.viewer_id
        return response

    @app.post("/stream/<viewer_id>/shown")
    def acknowledge(viewer_id: str) -> tuple[str, int]:
        number = json_object(request, ("frame",)).get("frame")
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise BadRequest('Send {"frame": n} with the number of the frame that was shown.')
        viewer = live.viewers.find(viewer_id)
        if viewer is not None and g.visitor.channel in (None, viewer.channel.name):
            viewer.acknowledge(number)
        elif not live.viewers.ended(viewer_id):
            # A browser that closes its stream may have an acknowledgement in flight: no error.
            raise NotFound("There is no stream with this id; take it from X-Stream-Id.")
        return "", 204


def _interval_s(fps: str | None) -> float:
    """Seconds between frames for `?fps=`; 0, no limit, without it or without a value."""
    if fps is None or not fps.strip():
        return 0.0
    try:
        value = float(fps)
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= 1000:
        raise BadRequest("The rate fps must be a number from 0.1 to 1000.")
    return 1.0 / value
