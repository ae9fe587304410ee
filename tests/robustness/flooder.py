"""A client that never stops sending, in its own process: `python -m tests.robustness.flooder PORT`.

It reads JSON from standard input: what to send once on each connection and what to repeat after
that, both as latin-1. It is a process because its threads would slow down the viewer of the test.
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
    """Sends as fast as it can and reads the answers; a closed connection is opened again."""
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
