"""A line with delay: a TCP relay on loopback whose bytes arrive later, in both directions.

The rate is not limited. Closing one side closes the other, once what was sent has arrived.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PIECE_BYTES = 1 << 16
MOST_PIECES = 4096  # on the way; beyond it the sender waits, as on a real line


def _forward(source: socket.socket, target: socket.socket, delay_s: float) -> None:
    """Pass bytes on until `source` ends."""
    line: queue.Queue[tuple[float, bytes]] = queue.Queue(MOST_PIECES)

    def deliver() -> None:
        with suppress(OSError):
            while (piece := line.get())[1]:
                time.sleep(max(0.0, piece[0] - time.monotonic()))
                target.sendall(piece[1])
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)
            source.shutdown(socket.SHUT_RD)  # the target has left: take nothing more
        while not line.empty():
            line.get()

    threading.Thread(target=deliver, daemon=True).start()
    data = b"."
    while data:
        try:
            data = source.recv(PIECE_BYTES)
        except OSError:
            data = b""
        line.put((time.monotonic() + delay_s, data))


@contextmanager
def delayed(to_port: int, delay_s: float) -> Iterator[int]:
    """A port whose connections reach `to_port` with `delay_s` more in each direction."""
    opened: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):  # the listener is closed
                while True:
                    near, _ = listener.accept()
                    far = socket.create_connection(("127.0.0.1", to_port))
                    for one in (near, far):
                        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    opened.extend((near, far))
                    for pair in ((near, far), (far, near)):
                        threading.Thread(
                            target=_forward, args=(*pair, delay_s), daemon=True
                        ).start()

        threading.Thread(target=serve, name="relay", daemon=True).start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for one in opened:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()
