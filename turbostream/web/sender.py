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
from turbostream.web.multipart import OPENING, Feed, PartCache, parts
from turbostream.web.viewers import Bell, Viewer

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
        self._send: Callable[[Any], int] = connection._sock.send  # does not block, nor switch
        self._rest = memoryview(b"")
        loop = get_hub().loop
        self._readable = loop.io(connection.fileno(), 1)
        self._writable = loop.io(connection.fileno(), 2)
        self._readable.start(self._read)

    def step(self, now: float, frame: Frame | None) -> None:
        """Send what is due, unless the last part is still on its way."""
        if self.stuck_since is None and not self.ended.is_set():
            part = self.feed.next(now, frame)
            if part is not None:
                self._counts.parts += 1
                self._counts.bytes += len(part)
                self.put(part)

    def put(self, part: bytes) -> None:
        """Send `part`, and what the socket does not take once it does."""
        try:
            taken = self._send(part)
        except BlockingIOError:
            taken = 0
        except OSError:
            self.ended.set()
            return
        if taken < len(part):
            self._rest = memoryview(part)[taken:]
            self.stuck_since = self._clock()
            self._writable.start(self._go_on)

    def _go_on(self) -> None:
        try:
            self._rest = self._rest[self._send(self._rest) :]
        except BlockingIOError:
            return
        except OSError:
            self.ended.set()
            return
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
            delivery.put(OPENING)
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
            elif delivery.stuck_since is None:
                channel = viewer.channel
                if channel not in newest:
                    newest[channel] = channel.buffer.newest()
                delivery.step(now, newest[channel])
                due = min(due, delivery.feed.due)
            elif now - delivery.stuck_since > self._dead_after_s:
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
