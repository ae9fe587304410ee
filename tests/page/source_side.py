"""What a server does with input pictures, played by the test: it takes what the page sends, and
acknowledges it when the test says so. All other messages go to the real server and back.
"""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, Route, WebSocketRoute


class SourceSide:
    """Between one window and its server.

    answers: whether each picture is acknowledged at once. refusal: why a source is refused, or ''.
    """

    def __init__(self, page: Page) -> None:
        self.pictures: list[bytes] = []
        self.forgotten = 0
        self.closed = 0  # connections that the page has ended
        self.answers, self.refusal, self.kind = True, "", "none"
        self.refuses_to_forget = False
        self._acknowledged = 0
        self._before = 0  # pictures of earlier connections
        self._scene: dict[str, Any] = {}
        self._socket: WebSocketRoute | None = None
        page.route_web_socket("**/control", self._connect)
        page.route("**/status", self._status)
        page.route("**/source", self._forget)

    @property
    def unacknowledged(self) -> int:
        return len(self.pictures) - self._before - self._acknowledged

    def acknowledge(self, count: int = 1, **more: str) -> None:
        self._acknowledged += count
        self._say({"source": {"received": self._acknowledged, **more}})

    def choose(self, kind: str) -> None:
        """Another controller has set the source of the scene."""
        self.kind = kind
        self._say({"scene": self._scene | {"source": kind}, "revision": self._scene["revision"]})

    def hang_up(self) -> None:
        """The connection breaks; the page opens another."""
        assert self._socket is not None
        self._socket.close(code=1012)

    def newest(self) -> np.ndarray:
        """The newest picture: [H, W, 3]."""
        assert self.pictures[-1].startswith(b"\xff\xd8")
        return np.asarray(Image.open(io.BytesIO(self.pictures[-1])).convert("RGB")).astype(int)

    def _say(self, message: object) -> None:
        assert self._socket is not None
        self._socket.send(json.dumps(message))

    def _connect(self, page_side: WebSocketRoute) -> None:
        self._before, self._acknowledged = len(self.pictures), 0
        self._socket = page_side
        server = page_side.connect_to_server()

        def ended(code: int | None, reason: str | None) -> None:
            self.closed += 1
            server.close(code=code, reason=reason)

        def sent(message: str | bytes) -> None:
            if isinstance(message, bytes):
                self.pictures.append(message)
                if self.answers:
                    self.acknowledge()
                return
            content = json.loads(message)
            if "source" not in content.get("patch", {}):
                server.send(message)
            elif self.refusal:
                self._say({"id": content["id"], "error": self.refusal, "status": 400})
            else:
                self.kind = content["patch"]["source"]
                self._say({"id": content["id"], "scene": self._scene | {"source": self.kind}})

        def told(message: str | bytes) -> None:
            content = json.loads(message)
            if "scene" in content:
                revision = content.get("revision", content["scene"].get("revision"))
                self._scene = content["scene"] | {"revision": revision}
                content["scene"]["source"] = self.kind
            page_side.send(json.dumps(content))

        page_side.on_message(sent)
        page_side.on_close(ended)
        server.on_message(told)

    def _status(self, route: Route) -> None:
        answer = route.fetch()
        content = answer.json()
        if content.get("scene"):
            content["scene"]["source"] = self.kind
        route.fulfill(response=answer, json=content)

    def _forget(self, route: Route) -> None:
        assert route.request.method == "DELETE"
        if self.refuses_to_forget:
            route.fulfill(status=429, json={"error": "Too many changes."})
            return
        self.forgotten += 1
        route.fulfill(json={"status": "ok"})
