"""The Flask application: wires the rooms together.

Importing this does nothing. Views run in gevent's loop and never block it.
"""

from __future__ import annotations

from flask import Flask, Response

from turbostream.stream.live_channel import LiveChannel
from turbostream.web.auth.access_control import AccessControl
from turbostream.web.context import AppContext
from turbostream.web.live.control_sockets import ControlSockets
from turbostream.web.live.streams import LiveStreams
from turbostream.web.live.wakeup import Wakeup
from turbostream.web.routes import (
    broadcast,
    channels,
    clip,
    collection,
    control,
    errors,
    frames,
    history,
    login,
    looks,
    mappings,
    metrics,
    osc,
    page,
    parameters,
    preview,
    recipe,
    recordings,
    rental,
    scene,
    setlist,
    snapshot,
    source,
    status,
    stream,
)
from turbostream.web.routes.request_body import WholeRequest
from turbostream.web.routes.requested import check_channel

NO_STORE = "no-store, no-cache, must-revalidate, max-age=0"


def create_app(context: AppContext, wakeup: Wakeup) -> Flask:
    """The application over `context`; `wakeup` is sent when a frame is published."""
    settings = context.settings
    app = Flask(__name__, static_folder="page", static_url_path="/page", template_folder="page")
    app.request_class = WholeRequest
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.after_request(_forbid_caching)
    access = AccessControl(app, settings, context.tokens)
    live = LiveStreams(
        wakeup,
        settings.max_viewers,
        settings.dead_viewer_s,
        status=lambda: context.supervisor.status,
        stopping=context.is_stopping,
        clock=context.awake,
    )
    sockets = ControlSockets(
        settings.max_body_bytes, settings.dead_viewer_s, context.is_stopping, context.awake
    )

    def connect(live_channel: LiveChannel) -> None:
        live_channel.channel.buffer.listen(wakeup.send)
        live_channel.channel.listen_revision(sockets.announce)

    def after_removal() -> None:
        wakeup.send()
        sockets.announce()

    context.channels.visit(connect)
    context.channels.listen(after_removal)
    check_channel(app, context)
    errors.add_handlers(app, login.page_for_strangers)
    login.add_routes(app, access)
    page.add_routes(app, context)
    stream.add_routes(app, context, access, live)
    snapshot.add_routes(app, context, access, live.wakeup)
    frames.add_routes(app, context, access)
    recipe.add_routes(app, context, access)
    scene.add_routes(app, context, access)
    parameters.add_routes(app, context, access)
    control.add_routes(app, context, access, sockets)
    osc.add_routes(app, context, access)
    history.add_routes(app, context, access)
    looks.add_routes(app, context, access)
    channels.add_routes(app, context, access, live.viewers)
    setlist.add_routes(app, context, access)
    mappings.add_routes(app, context, access)
    collection.add_routes(app, context, access)
    preview.add_routes(app, context, access, live.wakeup)
    recordings.add_routes(app, context, access)
    clip.add_routes(app, context, access)
    broadcast.add_routes(app, context, access)
    source.add_routes(app, context, access)
    status.add_routes(app, context, access, live.viewers, sockets)
    metrics.add_routes(app, context, live, sockets)
    rental.add_routes(app, settings.state_folder)
    return app


def _forbid_caching(response: Response) -> Response:
    response.headers.setdefault("Cache-Control", NO_STORE)
    return response
