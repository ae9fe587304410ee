"""Sends the stream to all viewers from one loop: a frame costs a viewer one `send`, no switch.

A `LiveStream` is a WSGI body like any other. Our own server finds `deliver` on it and lets the
sender do the work; under any other server it is iterated, and sends the same bytes.

The gevent thread only.
"""

from __future__ import annotations

import logging
import socket
import struct
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.event import Event
from gevent.hub import get_hub

from turbostream.stream.channel import Channel
from turbostream.stream.frame import Frame
from turbostream.web.live.multipart import OPENING, Feed, PartCache, parts
from turbostream.web.live.pace import Pace
from turbostream.web.live.tcp_info import tcp_of, unacknowledged
from turbostream.web.live.viewers import Bell, Viewer

log = logging.getLogger(__name__)

IDLE_S = 1.0  # the longest sleep; dead sockets are looked for at least so often
SHORTEST_S = 0.004  # timers that fall due closer together are served together
BREATH = 64  # viewers served before other requests get a turn
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: what a dead viewer did not take is thrown away


@dataclass
class Counts:
    """What was sent since the start, for /metrics."""

    parts: int = 0
    bytes: int = 0
    dropped: int = 0  # viewers that took no byte for too long


class Delivery:
    """One viewer's socket, its feed, and what of a part is still to be sent."""

    def __init__(
        self,
        viewer: Viewer,
        feed: Feed,
        connection: Any,
        counts: Counts,
        clock: Callable[[], float],
    ) -> None:
        self.viewer = viewer
        self.feed = feed
        self.ended = Event()
        self.stuck_since: float | None = None  # s on the clock, while a part is half sent
        self._counts = counts
        self._clock = clock
        self._connection = connection
        self._pace = self._new_pace()
        self._send: Callable[[Any], int] = connection._sock.send  # does not block, nor switch
        self._rest = memoryview(b"")
        loop = get_hub().loop
        self._readable = loop.io(connection.fileno(), 1)
        self._writable = loop.io(connection.fileno(), 2)
        self._readable.start(self._read)

    def _new_pace(self) -> Pace | None:
        """What bounds how far this viewer is behind, where the kernel tells and it does not."""
        sock = self._connection._sock
        tcp = tcp_of(sock)
        if tcp is None:
            return None
        # The pace says when a viewer is dead. The kernel's own limit would end a connection whose
        # window has been closed for so long, which a slow reader's, and a full tunnel's, may be.
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)
        pace = Pace(self._clock(), tcp.acked + unacknowledged(sock))
        self.viewer.pace = pace
        return pace

    def step(self, now: float, frame: Frame | None) -> None:
        """Send what is due, unless the last part is still on its way."""
        if self.ended.is_set():
            return
        if self._pace is not None and self._pace.wants_look(now):
            self._look(self._pace, now)
        if self.stuck_since is None:
            part = self.feed.next(now, frame)
            if part is not None:
                self._counts.parts += 1
                self._counts.bytes += len(part)
                self.put(part, now)

    def _look(self, pace: Pace, now: float) -> None:
        tcp = tcp_of(self._connection._sock)
        if tcp is None:
            return
        pace.look(now, tcp)
        probe = pace.probe()
        if probe and self.stuck_since is None:
            try:
                pace.went_ahead(self._send(probe))
            except BlockingIOError:
                pass
            except OSError:
                self.ended.set()

    @property
    def due(self) -> float:
        """When to step again, if nothing new comes before."""
        return self.feed.due if self._pace is None else min(self.feed.due, self._pace.due)

    def open(self) -> None:
        """Send what comes before the first part."""
        taken = self._put(OPENING, self._clock())
        if self._pace is not None:
            self._pace.sent(taken)

    def put(self, part: bytes, now: float) -> None:
        """Send `part`, and what the socket does not take once it does."""
        pace = self._pace
        if pace is None:
            self._put(part, now)
            return
        data = memoryview(part)[pace.ahead :] if pace.ahead else part
        pace.part(now, len(data), self._put(data, now))

    def _put(self, data: bytes | memoryview, now: float) -> int:
        """How many bytes the socket took at once."""
        try:
            taken = self._send(data)
        except BlockingIOError:
            taken = 0
        except OSError:
            self.ended.set()
            return 0
        if taken < len(data):
            self._rest = memoryview(data)[taken:]
            self.stuck_since = now
            self._writable.start(self._go_on)
        return taken

    def _go_on(self) -> None:
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
        self.stuck_since = now
        if not self._rest:
            self._writable.stop()
            self.stuck_since = None
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
        return self.stuck_since is not None and now - self.stuck_since > after_s

    def drop(self) -> None:
        """End a stream whose viewer takes nothing any more."""
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


class Sender:
    """The loop over all deliveries; it sleeps while there are none.

    `clock` should stand still while this process does: a viewer was not dead when we were stopped.
    """

    def __init__(
        self, bell: Bell, dead_after_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.counts = Counts()
        self.cache = PartCache()
        self._bell = bell
        self._dead_after_s = dead_after_s
        self._clock = clock
        self._deliveries: dict[Delivery, None] = {}
        self._loop: Any = None

    def deliver(self, viewer: Viewer, feed: Feed, connection: Any) -> None:
        """Send until the stream or the viewer ends; blocks the calling greenlet."""
        delivery = Delivery(viewer, feed, connection, self.counts, self._clock)
        self._deliveries[delivery] = None
        if self._loop is None:
            self._loop = gevent.spawn(self._run)
        try:
            delivery.open()
            delivery.step(self._clock(), viewer.newest())
            self._bell.ring_here()  # the loop may sleep longer than this viewer would
            delivery.ended.wait()
        finally:
            del self._deliveries[delivery]
            delivery.close()

    def _run(self) -> None:
        due = 0.0
        heard = self._bell.count
        while self._deliveries:
            if heard == self._bell.count:  # else it rang while the last round took a breath
                self._bell.wait(max(SHORTEST_S, due - self._clock()))
            heard = self._bell.count
            due = self._round()
        self._loop = None

    def _round(self) -> float:
        """Let each delivery send what is due; when to look again if nothing new comes."""
        newest: dict[Channel, Frame | None] = {}
        now = self._clock()
        due = now + IDLE_S
        for count, delivery in enumerate(list(self._deliveries), 1):
            viewer = delivery.viewer
            if not viewer.open():
                delivery.ended.set()
            else:
                channel = viewer.channel
                if channel not in newest:
                    newest[channel] = channel.buffer.newest()
                delivery.step(now, newest[channel])
                due = min(due, delivery.due)
                if delivery.dead(now, self._dead_after_s):
                    delivery.drop()
            if count % BREATH == 0:
                gevent.sleep(0)
                now = self._clock()
                newest.clear()
        return due


class LiveStream:
    """The body of `GET /stream`. `watching` is entered while somebody reads it."""

    def __init__(
        self,
        viewer: Viewer,
        sender: Sender,
        watching: Callable[[], AbstractContextManager[None]],
        min_interval_s: float,
        repeat_after_s: float,
    ) -> None:
        self._viewer, self._sender, self._watching = viewer, sender, watching
        self._interval_s, self._repeat_after_s = min_interval_s, repeat_after_s

        self._iteration = self._parts()

    def __iter__(self) -> Iterator[bytes]:
        return self._iteration

    def close(self) -> None:
        """As WSGI has it: the viewer has left, or was never there (HEAD)."""
        self._iteration.close()

    def _parts(self) -> Generator[bytes, None, None]:
        with self._watching():
            yield from parts(
                self._viewer,
                self._sender.cache,
                self._interval_s,
                self._repeat_after_s,
                self._viewer.newer_than,
            )

    def deliver(self, connection: Any) -> None:
        """Send to a gevent socket until the viewer leaves or the program stops."""
        viewer, cache = self._viewer, self._sender.cache
        feed = Feed(viewer, cache, self._interval_s, self._repeat_after_s, viewer.newer_than)
        with self._watching():
            self._sender.deliver(viewer, feed, connection)
