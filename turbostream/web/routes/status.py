"""`GET /status`, every useful number as JSON, and `GET /healthz`, for whoever restarts us."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from flask import Flask, g, jsonify
from werkzeug.wrappers import Response

from turbostream.stream.live_channel import LiveChannel
from turbostream.web import rental
from turbostream.web.auth.access_control import AccessControl
from turbostream.web.context import AppContext
from turbostream.web.live.control_sockets import ControlSockets
from turbostream.web.live.viewers import Viewers
from turbostream.web.routes.requested import requested
from turbostream.web.routes.scene_answer import shown_scene
from turbostream.web.routes.unread_words import unread_words


def add_routes(
    app: Flask,
    context: AppContext,
    access: AccessControl,
    viewers: Viewers,
    controllers: ControlSockets,
) -> None:
    @app.get("/status")
    def status() -> Response:
        live = requested(context)
        whole = g.visitor.channel is None
        counts = {
            "viewers": viewers.of(live.channel),
            "controllers": len(controllers) if whole else None,
        }
        return jsonify(_status(context, live, counts, access.may_read_shots()))

    @app.get("/healthz")
    def healthz() -> tuple[Response, int]:
        supervisor = context.supervisor
        reason = supervisor.unhealthy()
        if reason is None:
            return jsonify(status="ok", state=supervisor.status.state), 200
        return jsonify(status="error", error=reason), 503


def _status(
    context: AppContext, live: LiveChannel, counts: dict[str, int | None], with_recipe: bool
) -> dict[str, Any]:
    channel, supervisor, settings = live.channel, context.supervisor, context.settings
    now = supervisor.status
    whole = g.visitor.owns_server and live is context.channels.default
    newest = channel.buffer.newest()
    revision = channel.revision  # first: a change meanwhile makes the page ask again
    change, at = channel.snapshot()
    scene, (undo, redo) = change.scene, channel.history
    download = None
    if now.total_bytes is not None:
        download = {"bytes": now.done_bytes, "total": now.total_bytes}
    return {
        "state": now.state,
        "message": now.message,
        "now": time.time(),
        "download": download,
        "model": {"id": context.model_id, "demo": context.demo},
        "engine": _engine(supervisor.engine_facts),
        "prompt": scene.prompt,
        **unread_words(supervisor, scene.prompt),
        "scene": shown_scene(scene, at, with_recipe),
        "revision": revision,
        "history": {"undo": undo, "redo": redo},
        "setlist": context.repertoire.player.status() if whole else None,
        "recording": context.recording_status() if whole else None,
        "broadcast": context.broadcast_status() if whole else None,
        "source": _source(live, bool(g.visitor.may_write)),
        "frame": newest.number if newest else 0,
        "target_fps": live.spec.target_fps,
        "share": round(supervisor.shortage.share(time.monotonic()), 3),
        "shortage": supervisor.shortage.sentence(time.monotonic()),
        **counts,
        "role": g.visitor.role,
        "limited_to": g.visitor.channel,
        "settings": settings.as_text() if g.visitor.owns_server else None,
        "guard": rental.read(settings.state_folder, time.time()),
        **asdict(live.meter.figures(time.monotonic())),
    }


def _engine(facts: Mapping[str, object]) -> Mapping[str, object]:
    """What is known of the engine; its workers paint for all channels."""
    if g.visitor.channel is None:
        return facts
    return {name: value for name, value in facts.items() if name != "workers"}


def _source(live: LiveChannel, whole: bool) -> Mapping[str, object] | None:
    """What frames start from; for owners also what is known of the input pictures, or None if this
    server takes none."""
    if not whole:
        return {"kind": live.channel.scene.source}
    return None if live.sources is None else live.sources.status()
