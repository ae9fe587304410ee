"""What a page and its server say to each other over the control socket."""

from __future__ import annotations

import json
from typing import Any

from playwright.sync_api import Page, WebSocket


class Messages:
    """Of all sockets that one window opens, in order. open: how many are open now."""

    def __init__(self, page: Page) -> None:
        self.open = 0
        self.sent: list[dict[str, Any]] = []
        self.received: list[dict[str, Any]] = []
        page.on("websocket", self._follow)

    @property
    def answers(self) -> list[dict[str, Any]]:
        """The answers to changes of the page."""
        return [message for message in self.received if "id" in message]

    @property
    def pushed(self) -> list[dict[str, Any]]:
        """The states that the server sent by itself."""
        return [message for message in self.received if "history" in message]

    def _sent(self, payload: str | bytes) -> None:
        if isinstance(payload, str):  # bytes are a picture
            self.sent.append(json.loads(payload))

    def _follow(self, socket: WebSocket) -> None:
        def closed(_: WebSocket) -> None:
            self.open -= 1

        self.open += 1
        socket.on("framesent", self._sent)
        socket.on("framereceived", lambda payload: self.received.append(json.loads(payload)))
        socket.on("close", closed)
