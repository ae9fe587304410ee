"""`GET /control`: a WebSocket for controllers, which set parameters and learn of every change."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, ServiceUnavailable

from turbostream.stream.channel import Change, Channel
from turbostream.stream.controller import Controller
from turbostream.stream.live_channel import LiveChannel
from turbostream.web.auth.access_control import VIEW_ONLY, AccessControl
from turbostream.web.auth.authenticator import Visitor
from turbostream.web.context import AppContext
from turbostream.web.live.control_session import ControlSession, Powers
from turbostream.web.live.control_sockets import ControlSockets
from turbostream.web.live.handshake import UPGRADE, HandshakeRefused, accept
from turbostream.web.routes.errors import status_of
from turbostream.web.routes.requested import requested
from turbostream.web.routes.scene_answer import scene_answer
from turbostream.web.routes.unread_words import unread_words

RETRY_AFTER_S = 5
OF_THE_DEFAULT = "OSC messages go to the default channel; send them without ?channel=."
OF_THE_SERVER = 'OSC messages need a link to the server; send {"set": {...}} instead.'
SHARED_S = 0.01  # for so long the state that was built for one socket is sent to others


class SwitchingProtocols(Response):
    """A 101. Werkzeug would replace its body, on which our server finds `converse`."""

    def get_app_iter(self, environ: object) -> Iterable[bytes]:
        return self.response  # type: ignore[return-value]


class Refusal(HTTPException):
    """A handshake that is not accepted."""

    def __init__(self, refused: HandshakeRefused) -> None:
        super().__init__(refused.sentence)
        self.code, self._headers = refused.code, refused.headers

    def get_headers(self, *arguments: Any, **options: Any) -> list[tuple[str, str]]:
        return [*super().get_headers(*arguments, **options), *self._headers.items()]


def add_routes(
    app: Flask, context: AppContext, access: AccessControl, sockets: ControlSockets
) -> None:
    states = States(context)

    @app.get("/control")
    def control() -> Response:
        headers = [*request.headers.items()]
        if (upgrade := request.environ.get(UPGRADE)) is not None:
            headers.append(("Upgrade", upgrade))
        has_body = bool(request.content_length) or "Transfer-Encoding" in request.headers
        version = request.environ["SERVER_PROTOCOL"]
        try:
            accepted = accept(request.method, version, headers, has_body)
        except HandshakeRefused as refused:
            raise Refusal(refused) from None
        reserved = bool(g.visitor.owns_server)
        if sockets.is_full(reserved):
            raise ServiceUnavailable(
                f"{sockets.most(reserved)} controllers are connected, the maximum; disconnect "
                "one, or send changes to PATCH /parameters.",
                retry_after=RETRY_AFTER_S,
            )
        live = requested(context)
        body = sockets.open(ControlSession(Controller(live.desk), powers(live)))
        response = SwitchingProtocols(body, status=101, headers=accepted, direct_passthrough=True)
        del response.headers["Content-Type"]
        return response

    def powers(live: LiveChannel) -> Powers:
        channel, visitor = live.channel, g.visitor
        whole = bool(visitor.owns_server)
        return Powers(
            refusal=None if visitor.may_write else VIEW_ONLY,
            parameters_refused=partial(access.parameters_refused, visitor),
            take_change=partial(access.take_change, visitor),
            too_many_changes=access.too_many_changes,
            patch=partial(channel.change, check=context.supervisor.check),
            datagram=datagrams(live, visitor),
            answer=partial(_answer, context, channel),
            state=partial(states, channel, whole, access.may_read_shots()),
            status_of=status_of,
            sources=live.sources,
            ended=lambda: channel.removed,
        )

    def datagrams(live: LiveChannel, visitor: Visitor) -> Callable[[bytes], str | None]:
        """What takes OSC messages, which can set every parameter."""
        if visitor.channel is not None:
            return lambda data: OF_THE_SERVER
        return context.datagram if live is context.channels.default else lambda data: OF_THE_DEFAULT


def _answer(context: AppContext, channel: Channel, change: Change | None) -> dict[str, Any]:
    scene = scene_answer(channel, change)
    return {"scene": scene, **unread_words(context.supervisor, scene["prompt"])}


class States:
    """The state as JSON, built once for all visitors of a kind that get it together."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._built: WeakKeyDictionary[Channel, dict[tuple[bool, bool], tuple[int, float, str]]]
        self._built = WeakKeyDictionary()

    def __call__(self, channel: Channel, whole: bool, with_recipe: bool) -> str:
        """whole: for an owner of the server."""
        kind, now = (whole, with_recipe), time.monotonic()
        revision, built = channel.revision, self._built.setdefault(channel, {})
        known = built.get(kind)
        if known is None or known[0] != revision or now - known[1] > SHARED_S:
            text = json.dumps(self._state(channel, *kind))
            known = built[kind] = revision, now, text
        return known[2]

    def _state(self, channel: Channel, whole: bool, with_recipe: bool) -> Mapping[str, Any]:
        player = self._context.repertoire.player
        scene = scene_answer(channel, with_recipe=with_recipe)
        undo, redo = channel.history
        whole = whole and channel is self._context.channel
        return {
            "scene": scene,
            "revision": scene["revision"],
            "history": {"undo": undo, "redo": redo},
            "setlist": player.status() if whole else None,
            "recording": self._context.recording_status() if whole else None,
        }
