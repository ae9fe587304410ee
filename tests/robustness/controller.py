"""A controller: a WebSocket client of the running program."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from websockets.frames import Frame
from websockets.sync.client import connect

from tests.robustness.raw import HOST

HANDSHAKE = (
    b"GET /control HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
ACCEPTED = b"Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n"  # RFC 6455, 4.2.2
PATIENCE_S = 30.0


def http_visitor(token: str) -> dict[str, str]:
    """Headers of somebody who is not at this machine."""
    return {"X-Forwarded-For": "192.0.2.1", "Authorization": f"Bearer {token}"}


class Controller:
    """Messages are dicts. It is connected within `with`."""

    def __init__(
        self, port: int, headers: Mapping[str, str] | None = None, path: str = "/control"
    ) -> None:
        self._opening = connect(
            f"ws://127.0.0.1:{port}{path}",
            additional_headers=headers or {},
            compression=None,
            open_timeout=PATIENCE_S,
            close_timeout=1,
            ping_interval=None,
        )

    def send(self, **message: object) -> None:
        self.socket.send(json.dumps(message))

    def receive(self, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """The next message; raises TimeoutError."""
        found: dict[str, Any] = json.loads(self.socket.recv(timeout_s))
        return found

    def until(self, fits: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """The first message that `fits`; those before it are dropped."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            message = self.receive(max(0.0, deadline - time.monotonic()))
            if fits(message):
                return message

    def ask(self, identity: object, **message: object) -> dict[str, Any]:
        """The answer to a message with this id."""
        self.send(**message, id=identity)
        return self.until(lambda found: found.get("id") == identity)

    def state(self, **fields: object) -> dict[str, Any]:
        """The first state whose scene has these fields."""
        return self.until(
            lambda found: "revision" in found and {**found["scene"], **fields} == found["scene"]
        )

    def error(self) -> str:
        """The sentence of the next message about a fault that has no id."""
        return str(self.until(lambda found: "error" in found and "id" not in found)["error"])

    def __enter__(self) -> Controller:
        self.socket = self._opening.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._opening.__exit__(*raised)


def shake_hands(port: int, handshake: bytes = HANDSHAKE) -> socket.socket:
    """A raw connection after the head of the answer, which must be a 101."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    connection.sendall(handshake)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        assert byte, head
        head += byte
    assert head.startswith(b"HTTP/1.1 101 "), head
    assert ACCEPTED in head
    return connection


def frame(opcode: Any, data: bytes, fin: bool = True) -> bytes:
    """One masked frame."""
    return Frame(opcode, data, fin).serialize(mask=True)
