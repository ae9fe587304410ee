"""`GET /snapshot.jpg`: the next frame, never one from before the request."""

from __future__ import annotations

import time

from flask import Flask, Response
from werkzeug.exceptions import ServiceUnavailable

from turbostream.stream.channel import Channel
from turbostream.stream.channel_names import unknown
from turbostream.stream.frame import Frame
from turbostream.stream.state import State
from turbostream.web.auth.access_control import AccessControl
from turbostream.web.context import AppContext
from turbostream.web.live.multipart import jpeg_of
from turbostream.web.live.wakeup import Wakeup
from turbostream.web.routes.requested import requested

WAIT_S = 10.0
RETRY_AFTER_S = 2


def add_routes(app: Flask, context: AppContext, access: AccessControl, wakeup: Wakeup) -> None:
    @app.get("/snapshot.jpg")
    def snapshot() -> Response:
        frame = _next_frame(context, requested(context).channel, wakeup)
        response = Response(jpeg_of(frame, access.wants_recipe()), content_type="image/jpeg")
        response.headers["X-Frame-Id"] = str(frame.number)
        response.headers["X-Timestamp"] = f"{frame.published:.6f}"
        return response


def _next_frame(context: AppContext, channel: Channel, wakeup: Wakeup) -> Frame:
    supervisor = context.supervisor
    after = channel.last_number  # first: whoever begins to watch gets a frame after that one
    with channel.watched():
        deadline = time.monotonic() + WAIT_S
        while (frame := channel.buffer.newest()) is None or frame.number <= after:
            left_s = deadline - time.monotonic()
            if channel.removed:
                raise unknown(channel.name)
            if left_s <= 0 or supervisor.status.state is State.FAILED or context.stopping:
                raise ServiceUnavailable(
                    f"There is no picture yet: {supervisor.status.message}",
                    retry_after=RETRY_AFTER_S,
                )
            wakeup.wait(min(left_s, 0.5))
        return frame
