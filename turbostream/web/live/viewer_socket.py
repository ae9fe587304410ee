"""One viewer's socket: sends the parts that are due, and notices when the viewer leaves.

The gevent thread only.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gevent.event import Event
from gevent.hub import get_hub

from turbostream.stream.frame import Frame
from turbostream.web.live.multipart import OPENING
from turbostream.web.live.pace import Pace
from turbostream.web.live.schedule import Schedule
from turbostream.web.live.tcp_info import read_tcp_info, unacknowledged_bytes
from turbostream.web.live.viewers import Viewer

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: what a dead viewer did not take is discarded


@dataclass
class Counts:
    """What was sent since the start, for /metrics."""

    parts: int = 0
    bytes: int = 0
    dropped: int = 0  # viewers that took no byte for too long


class ViewerSocket:
    """One viewer's socket, its schedule, and the rest of a part that the kernel did not take."""

    def __init__(
        self,
        viewer: Viewer,
        schedule: Schedule,
        connection: Any,
        counts: Counts,
        clock: Callable[[], float],
    ) -> None:
        self.viewer = viewer
        self.schedule = schedule
        self.ended = Event()
        self.blocked_since: float | None = None  # s on the clock, while a part is half sent
        self._counts = counts
        self._clock = clock
        self._connection = connection
        self._pace = self._new_pace()
        self._send: Callable[[Any], int] = connection._sock.send  # neither blocks nor switches
        self._rest = memoryview(b"")
        loop = get_hub().loop
        self._readable = loop.io(connection.fileno(), 1)
        self._writable = loop.io(connection.fileno(), 2)
        self._readable.start(self._read)

    def _new_pace(self) -> Pace | None:
        """What bounds how far a viewer is behind that acknowledges nothing; None where the kernel
        gives no figures."""
        sock = self._connection._sock
        tcp = read_tcp_info(sock)
        if tcp is None:
            return None
        # The pace decides when a viewer is dead. The kernel's own limit would end a connection
        # whose window has been closed for so long, and a slow reader's or a full tunnel's may be.
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
        pace = Pace(self._clock(), tcp.acked + unacknowledged_bytes(sock))
        self.viewer.pace = pace
        return pace

    def step(self, now: float, frame: Frame | None) -> None:
        """Send what is due, unless the last part is still being sent."""
        if self.ended.is_set():
            return
        if self._pace is not None and self._pace.wants_look(now):
            self._look(self._pace, now)
        if self.blocked_since is None:
            part = self.schedule.next(now, frame)
            if part is not None:
                self._counts.parts += 1
                self._counts.bytes += len(part)
                self._send_part(part, now)

    def _look(self, pace: Pace, now: float) -> None:
        tcp = read_tcp_info(self._connection._sock)
        if tcp is None:
            return
        pace.look(now, tcp)
        probe = pace.probe()
        if probe and self.blocked_since is None:
            try:
                pace.went_ahead(self._send(probe))
            except BlockingIOError:
                pass
            except OSError:
                self.ended.set()

    @property
    def due(self) -> float:
        """When to step again, if nothing new comes before."""
        due = self.schedule.due
        return due if self._pace is None else min(due, self._pace.due)

    def open(self) -> None:
        """Send what comes before the first part."""
        taken = self._send_now(OPENING, self._clock())
        if self._pace is not None:
            self._pace.sent(taken)

    def _send_part(self, part: bytes, now: float) -> None:
        pace = self._pace
        if pace is None:
            self._send_now(part, now)
            return
        data = memoryview(part)[pace.ahead :] if pace.ahead else part
        pace.part(now, len(data), self._send_now(data, now))

    def _send_now(self, data: bytes | memoryview, now: float) -> int:
        """How many bytes the kernel took at once; the rest follows when it takes more."""
        try:
            taken = self._send(data)
        except BlockingIOError:
            taken = 0
        except OSError:
            self.ended.set()
            return 0
        if taken < len(data):
            self._rest = memoryview(data)[taken:]
            self.blocked_since = now
            self._writable.start(self._send_rest)
        return taken

    def _send_rest(self) -> None:
        try:
            taken = self._send(self._rest)
        except BlockingIOError:
            return
        except OSError:
            self.ended.set()
            return
        self._rest = self._rest[taken:]
        if self._pace is not None:
            self._pace.sent(taken)
        now = self._clock()
        self.blocked_since = now
        if not self._rest:
            self._writable.stop()
            self.blocked_since = None
            self.step(now, self.viewer.newest())

    def _read(self) -> None:
        """Nothing is expected; an end or an error means that the viewer has left."""
        try:
            if self._connection._sock.recv(4096):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.ended.set()

    def dead(self, now: float, after_s: float) -> bool:
        """Whether it has taken nothing for so long."""
        if self._pace is not None:
            return self._pace.dead(now, after_s)
        return self.blocked_since is not None and now - self.blocked_since > after_s

    def drop(self) -> None:
        """End the stream of a dead viewer."""
        if self.ended.is_set():
            return
        self._counts.dropped += 1
        self._connection._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.ended.set()

    def close(self) -> None:
        for watcher in (self._readable, self._writable):
            watcher.stop()
            watcher.close()
        self._rest.release()
