"""Requests as bytes, for what HTTP libraries would not send."""

from __future__ import annotations

import json
import socket
import time
from contextlib import suppress

HOST = b"Host: localhost\r\n"


def ask(port: int, data: bytes, timeout_s: float = 30.0) -> bytes:
    """All that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        with suppress(OSError):
            connection.sendall(data)
        return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    found = b""
    with suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            found += piece
    return found


def status_and_error(answer: bytes) -> tuple[int, str]:
    """The status and the one sentence of an error in the shape that all errors have."""
    head, _, body = answer.partition(b"\r\n\r\n")
    shape = json.loads(body)
    assert shape["status"] == "error", shape
    return int(head.split()[1]), str(shape["error"])


def open_stream(
    port: int, path: str = "/stream", receive_bytes: int | None = None
) -> socket.socket:
    """A viewer that has asked for the stream, and has read nothing yet."""
    viewer = socket.socket()
    if receive_bytes is not None:
        viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    viewer.settimeout(30)
    viewer.connect(("127.0.0.1", port))
    viewer.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
    return viewer


def eventually(what: object, limit_s: float = 60.0, step_s: float = 0.05) -> float:
    """Seconds until `what()` is true; fails after `limit_s`."""
    assert callable(what)
    started = time.monotonic()
    while not what():
        assert time.monotonic() - started < limit_s, f"not within {limit_s} s"
        time.sleep(step_s)
    return time.monotonic() - started


def ask_health(connection: socket.socket) -> bytes:
    """The whole answer; the connection stays open."""
    connection.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
    whole = b""
    while not whole.endswith(b"}\n"):
        piece = connection.recv(4096)
        assert piece, "closed before the answer was whole"
        whole += piece
    return whole
