"""A camera that sees a light flash, and a viewer that keeps the frames: the ends of the path that
`benchmarks/source.py` measures. Times are `time.time()`, in seconds."""

from __future__ import annotations

import http.client
import io
import json
import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import numpy as np
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from benchmarks.tunnel import Reports

SIZE = 640, 480  # pixels of a camera's picture
VARIANTS = 16  # of each state, with different noise: a camera never sends the same picture twice
NOISE = 6.0  # standard deviation in levels
DARK, LIT = 24, 232  # levels
# As the page, see web/page/source_flow.js.
LEAST_IN_FLIGHT, MOST_IN_FLIGHT = 2, 16
MOST_BYTES_IN_FLIGHT = 1_000_000
FEW_WAITING, MANY_WAITING = 1, 2  # pictures on the line that wait for others
PATIENCE_S = 60.0


class Shown(NamedTuple):
    """One frame at the viewer. stamp: when it was published."""

    arrival: float
    stamp: float
    number: int
    jpeg: bytes


def pictures(level: int) -> list[bytes]:
    """Camera pictures of a wall at this level, as JPEG."""
    chance = np.random.default_rng(level)
    found = []
    for _ in range(VARIANTS):
        noise = chance.normal(level, NOISE, (SIZE[1], SIZE[0], 3))
        file = io.BytesIO()
        Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=80)
        found.append(file.getvalue())
    return found


class Window:
    """How many pictures may be unacknowledged, as the page counts them. Times are seconds."""

    def __init__(self) -> None:
        self.sent = self.acknowledged = 0
        self.most = LEAST_IN_FLIGHT
        self._in_flight: deque[tuple[float, int]] = deque()  # when it was sent, and its bytes
        self._bytes = 0
        self._fastest = math.inf
        self._round_ends, self._round_fastest, self._held = 0, math.inf, False

    def is_free(self) -> bool:
        count = len(self._in_flight)
        fits = not count or self._bytes * (1 + 1 / count) <= MOST_BYTES_IN_FLIGHT
        is_free = count < LEAST_IN_FLIGHT or (count < self.most and fits)
        self._held |= not is_free
        return is_free

    def send(self, now: float, size: int) -> None:
        self.sent += 1
        self._bytes += size
        self._in_flight.append((now, size))

    def acknowledge(self, now: float, received: int) -> None:
        if received <= self.acknowledged:
            return
        for _ in range(received - self.acknowledged):
            sent_at, size = self._in_flight.popleft()
            self._bytes -= size
            self._round_fastest = min(self._round_fastest, now - sent_at)
        self.acknowledged = received
        if received >= self._round_ends:
            self._end_round()

    def _end_round(self) -> None:
        fastest, is_first = self._round_fastest, self._fastest == math.inf
        self._fastest = min(self._fastest, fastest)
        waiting = self.most * (1 - self._fastest / fastest) if fastest > 0 else 0.0
        if waiting > MANY_WAITING:
            self.most = max(LEAST_IN_FLIGHT, self.most - 1)
        elif self._held and not is_first and waiting < FEW_WAITING:
            self.most = min(MOST_IN_FLIGHT, self.most + 1)
        self._round_ends, self._round_fastest, self._held = self.sent + 1, math.inf, False


class Camera(threading.Thread):
    """Takes `rate` pictures a second and sends the newest whenever its `Window` is free.
    `lit` switches the light. flashes: (when the first picture of a new state was taken, whether
    it is lit)."""

    def __init__(self, port: int, rate: float) -> None:
        super().__init__(name="camera", daemon=True)
        self.lit = False
        self.flashes: list[tuple[float, bool]] = []
        self.taken = 0
        self.window = Window()
        self.message = ""  # why the server refused the newest picture
        self._port, self._rate = port, rate
        self._pictures = {False: pictures(DARK), True: pictures(LIT)}
        self._newest: bytes | None = None  # not sent yet
        self._change = threading.Condition()
        self._stopping = False

    def run(self) -> None:
        address = f"ws://127.0.0.1:{self._port}/control"
        with connect(address, compression=None, open_timeout=PATIENCE_S) as connection:
            threading.Thread(target=self._listen, args=(connection,), daemon=True).start()
            due, seen = time.time(), None
            while not self._stopping:
                if time.time() >= due:
                    due = max(due + 1 / self._rate, time.time())
                    lit = self.lit
                    if lit is not seen:
                        self.flashes.append((time.time(), lit))
                        seen = lit
                    self._newest = self._pictures[lit][self.taken % VARIANTS]
                    self.taken += 1
                with self._change:
                    if self._newest is None or not self.window.is_free():
                        self._change.wait(max(0.0, due - time.time()))
                        continue
                    data, self._newest = self._newest, None
                    self.window.send(time.monotonic(), len(data))
                connection.send(data)

    def _listen(self, connection: object) -> None:
        with suppress(ConnectionClosed):
            for message in connection:  # type: ignore[attr-defined]
                told = json.loads(message)
                if "error" in told:
                    self.message = told["error"]
                if (source := told.get("source")) is None or "received" not in source:
                    continue
                with self._change:
                    self.window.acknowledge(time.monotonic(), source["received"])
                    self.message = source.get("message", "")
                    self._change.notify()

    def stop(self) -> None:
        self._stopping = True
        with self._change:
            self._change.notify()
        self.join(PATIENCE_S)


class Viewer(threading.Thread):
    """Reads /stream and acknowledges the newest frame as the page does; keeps all in `frames`."""

    def __init__(self, port: int) -> None:
        super().__init__(name="viewer", daemon=True)
        self.frames: list[Shown] = []
        self._port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        self._stopping = False

    def run(self) -> None:
        headers = {"Accept": "application/octet-stream"}  # of a reader that acknowledges
        self._connection.request("GET", "/stream", headers=headers)
        answer = self._connection.getresponse()
        reports = Reports(self._port, answer.headers["X-Stream-Id"])
        with suppress(OSError, ValueError, http.client.HTTPException):
            while not self._stopping and (line := answer.readline()):
                if not line.startswith(b"Content-Length: "):
                    continue
                length, head = int(line.split()[1]), {}
                while (line := answer.readline()) not in (b"\r\n", b""):
                    name, _, value = line.decode().partition(": ")
                    head[name] = float(value)
                jpeg, number = answer.read(length), int(head["X-Frame-Id"])
                if number:  # 0: a placeholder
                    self.frames.append(Shown(time.time(), head["X-Timestamp"], number, jpeg))
                    reports.shown(number)
        reports.stop()
        self._connection.close()

    def since(self, begin: float) -> list[Shown]:
        """The frames that have arrived since."""
        return [frame for frame in self.frames if frame.arrival >= begin]

    def stop(self) -> None:
        self._stopping = True
        self.join(PATIENCE_S)


@contextmanager
def filming(port: int, rate: float) -> Iterator[Camera]:
    camera = Camera(port, rate)
    camera.start()
    try:
        yield camera
    finally:
        camera.stop()


@contextmanager
def watching(port: int) -> Iterator[Viewer]:
    viewer = Viewer(port)
    viewer.start()
    try:
        yield viewer
    finally:
        viewer.stop()
