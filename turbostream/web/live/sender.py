"""Sends the stream to all viewers from one loop: a frame costs one `send` for each viewer, and no
switch between greenlets.

The gevent thread only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gevent

from turbostream.stream.channel import Channel
from turbostream.stream.frame import Frame
from turbostream.web.live.multipart import PartCache
from turbostream.web.live.schedule import Schedule
from turbostream.web.live.viewer_socket import Counts, ViewerSocket
from turbostream.web.live.viewers import Viewer
from turbostream.web.live.wakeup import Wakeup

IDLE_S = 1.0  # the longest sleep; dead sockets are looked for at least so often
SHORTEST_S = 0.004  # timers that are due closer together are served together
YIELD_AFTER = 64  # viewers served before other requests are


class Sender:
    """The loop over all viewers' sockets; it ends when there are none.

    `clock` should stand still while this process is stopped: a viewer has not been silent then.
    """

    def __init__(
        self, wakeup: Wakeup, dead_after_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.counts = Counts()
        self.cache = PartCache()
        self._wakeup = wakeup
        self._dead_after_s = dead_after_s
        self._clock = clock
        self._sockets: dict[ViewerSocket, None] = {}
        self._loop: Any = None

    def deliver(self, viewer: Viewer, schedule: Schedule, connection: Any) -> None:
        """Send until the stream ends or the viewer leaves; blocks the calling greenlet."""
        receiver = ViewerSocket(viewer, schedule, connection, self.counts, self._clock)
        self._sockets[receiver] = None
        if self._loop is None:
            self._loop = gevent.spawn(self._run)
        try:
            receiver.open()
            receiver.step(self._clock(), viewer.newest())
            self._wakeup.send_here()  # the loop may sleep longer than this viewer would
            receiver.ended.wait()
        finally:
            del self._sockets[receiver]
            receiver.close()

    def _run(self) -> None:
        due = 0.0
        woken = self._wakeup.count
        while self._sockets:
            if woken == self._wakeup.count:  # else it was sent while the last round yielded
                self._wakeup.wait(max(SHORTEST_S, due - self._clock()))
            woken = self._wakeup.count
            due = self._round()
        self._loop = None

    def _round(self) -> float:
        """Send to each viewer what is due; when the next round is due if nothing new comes."""
        newest: dict[Channel, Frame | None] = {}
        now = self._clock()
        due = now + IDLE_S
        for count, receiver in enumerate(list(self._sockets), 1):
            viewer = receiver.viewer
            if not viewer.open():
                receiver.ended.set()
            else:
                channel = viewer.channel
                if channel not in newest:
                    newest[channel] = channel.buffer.newest()
                receiver.step(now, newest[channel])
                due = min(due, receiver.due)
                if receiver.dead(now, self._dead_after_s):
                    receiver.drop()
            if count % YIELD_AFTER == 0:
                gevent.sleep(0)
                now = self._clock()
                newest.clear()
        return due
