"""Stands between a window and the control socket of its server."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Page, WebSocketRoute


class Gate:
    """Keeps the messages of the page back, in `held`; those of the server pass."""

    def __init__(self, page: Page) -> None:
        self.held: list[dict[str, Any]] = []
        self.closed = False
        self._sockets: list[WebSocketRoute] = []
        page.route_web_socket("**/control", self._route)

    def _route(self, socket: WebSocketRoute) -> None:
        if self.closed:
            socket.close()
            return
        self._sockets.append(socket)
        socket.connect_to_server()
        socket.on_message(lambda text: self.held.append(json.loads(text)))

    def push(self, message: dict[str, Any]) -> None:
        """Sends a message to the page, as the server does."""
        self._sockets[-1].send(json.dumps(message))

    def break_off(self) -> None:
        """Closes the socket, and each one that the page opens from now on."""
        self.closed = True
        self._sockets[-1].close()
