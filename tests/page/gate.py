"""Stands between a window and the control socket of its server."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Page, WebSocketRoute

from tests.page.desk import FIRST_PICTURE, Desk

CONNECTED = "import('/page/control.js').then(({control}) => control.connected)"


def gated(desk: Desk) -> tuple[Page, Gate]:
    """A window on the page, whose socket is open, and its gate."""
    page = desk.window()
    gate = Gate(page)
    page.goto(desk.server.url)
    page.wait_for_selector(FIRST_PICTURE)
    while not page.evaluate(CONNECTED):
        desk.rest()
    return page, gate


class Gate:
    """Keeps the messages of the page back, in `held`, until `release`; those of the server pass."""

    def __init__(self, page: Page) -> None:
        self.held: list[dict[str, Any]] = []
        self.closed = False
        self._open = False
        self._sockets: list[WebSocketRoute] = []
        self._server: WebSocketRoute | None = None
        page.route_web_socket("**/control", self._route)

    def _route(self, socket: WebSocketRoute) -> None:
        if self.closed:
            socket.close()
            return
        self._sockets.append(socket)
        self._server = socket.connect_to_server()
        socket.on_message(self._sent)

    def _sent(self, message: str | bytes) -> None:
        assert self._server is not None
        if self._open:
            self._server.send(message)
        else:
            self.held.append(json.loads(message))

    def release(self) -> None:
        """Sends what was kept back to the server, and keeps nothing back any more."""
        assert self._server is not None
        self._open = True
        for message in self.held:
            self._server.send(json.dumps(message))

    def push(self, message: dict[str, Any]) -> None:
        """Sends a message to the page, as the server does."""
        self._sockets[-1].send(json.dumps(message))

    def break_off(self) -> None:
        """Closes the socket, and each one that the page opens from now on."""
        self.closed = True
        self._sockets[-1].close()
