"""A viewer like a browser: it reads the stream, and reconnects when it ends."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time

SILENCE_S = 15.0  # without data for this long, a connection counts as lost


class Viewer:
    """Reads /stream on `port` in a thread; records the new frames and the connections."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.frames: list[tuple[float, int, int]] = []  # monotonic s, connection, frame number
        self.connections = 0
        self.refused = 0
        self._ended = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._thread = threading.Thread(target=self._watch, name="viewer")
        self._thread.start()

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(2 * SILENCE_S)

    def _watch(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):
                self._read()
            self._ended.wait(0.1)

    def _read(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SILENCE_S)
        try:
            try:
                connection.request("GET", "/stream")
                response = connection.getresponse()
            except OSError:
                self.refused += 1
                raise
            if response.status != 200:
                return
            self.connections += 1
            newest = 0  # a part may be sent twice; 0 is a placeholder with text
            while not self._ended.is_set():
                line = response.readline()
                if not line:
                    return
                if line.lower().startswith(b"x-frame-id:"):
                    number = int(line.split(b":")[1])
                    if number > newest:
                        newest = number
                        self.frames.append((time.monotonic(), self.connections, number))
        finally:
            connection.close()

    def longest_gap(self, since: float) -> float:
        """The longest time without a new frame since then, in seconds."""
        times = [since, *(at for at, _, _ in self.frames if at >= since)]
        return max(later - earlier for earlier, later in zip(times, times[1:], strict=False))
