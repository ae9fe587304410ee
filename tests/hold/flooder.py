"""A client that sends without end, as a process of its own: `python -m tests.hold.flooder PORT`.

Its standard input is JSON: what to send once on each connection, and what to repeat after it, both
as latin-1. In the test's process its threads would take the viewer's time.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from contextlib import suppress

CONNECTIONS = 2


def read(connection: socket.socket) -> None:
    with suppress(OSError):
        while connection.recv(1 << 16):
            pass


def pour(port: int, opening: bytes, payload: bytes) -> None:
    """As fast as it can, reading what comes; a connection that ends is opened again."""
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 2) as connection:
            connection.settimeout(60)
            threading.Thread(target=read, args=(connection,), daemon=True).start()
            connection.sendall(opening)
            while True:
                connection.sendall(payload)


if __name__ == "__main__":
    opening, more = (text.encode("latin-1") for text in json.load(sys.stdin))
    payload = more * max(1, 60_000 // len(more))
    for _ in range(CONNECTIONS):
        arguments = int(sys.argv[1]), opening, payload
        threading.Thread(target=pour, args=arguments, daemon=True).start()
    print("flooding", flush=True)
    threading.Event().wait()
