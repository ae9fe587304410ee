"""All control sockets of this server, with their limit. What the routes need of them.

The gevent thread only, except for `announce`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakSet

import gevent

from turbostream.web.live.control_session import ControlSession
from turbostream.web.live.control_socket import Client, ControlSocket, Counts
from turbostream.web.live.wakeup import Wakeup

log = logging.getLogger(__name__)

MOST = 64
RESERVED = 16  # of them for owners of the server, so that no other link can shut them out
LOOK_EVERY_S = 0.1  # whether the program is stopping


class ControlBody:
    """The body of a 101: our own server calls `converse`, and `close` in any case. It occupies a
    place from the handshake on, until it is closed or forgotten."""

    def __init__(self, sockets: ControlSockets, session: ControlSession) -> None:
        self._sockets, self._session = sockets, session

    def converse(self, client: Client) -> None:
        """Serve the WebSocket until it ends."""
        log.info("[control] Controller connected.")
        try:
            self._sockets.serve(client, self._session)
        finally:
            log.info("[control] Controller disconnected.")

    def __iter__(self) -> Iterator[bytes]:
        return iter(())

    def close(self) -> None:
        self._sockets.leave(self)


class ControlSockets:
    """`stopping` ends all of them; `clock` stands still while this process is stopped."""

    def __init__(
        self,
        most_bytes: int,
        dead_after_s: float,
        stopping: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        """most_bytes: of one message; dead_after_s: without a sign of life."""
        self.counts = Counts()
        self._limits, self._clock = (most_bytes, dead_after_s), clock
        self._stopping = stopping
        self._places: WeakSet[ControlBody] = WeakSet()
        self._sockets: set[ControlSocket] = set()
        self._wakeup: Wakeup | None = None  # made for the first socket
        self._loop: Any = None

    def __len__(self) -> int:
        return len(self._sockets)

    def most(self, reserved: bool) -> int:
        """The number of sockets at which no other is accepted. reserved: for an owner of the
        server."""
        return MOST if reserved else MOST - RESERVED

    def is_full(self, reserved: bool) -> bool:
        return len(self._places) >= self.most(reserved)

    def announce(self) -> None:
        """The state has changed; from any thread."""
        if self._wakeup is not None:
            self._wakeup.send()

    def open(self, session: ControlSession) -> ControlBody:
        """The body of the answer to an accepted handshake."""
        body = ControlBody(self, session)
        self._places.add(body)
        return body

    def leave(self, body: ControlBody) -> None:
        self._places.discard(body)

    def serve(self, client: Client, session: ControlSession) -> None:
        """Serve one WebSocket until it ends; blocks the calling greenlet."""
        if self._wakeup is None:
            self._wakeup = Wakeup()
        served = ControlSocket(
            client,
            session,
            self.counts,
            *self._limits,
            lambda: self._stopping() or session.ended(),
            self._clock,
        )
        self._sockets.add(served)
        if self._loop is None:
            self._loop = gevent.spawn(self._run, self._wakeup)
        try:
            served.run()
        finally:
            self._sockets.discard(served)

    def _run(self, wakeup: Wakeup) -> None:
        """Tell all sockets of changes; ends when there are none."""
        seen = wakeup.count
        while self._sockets:
            if seen == wakeup.count:
                wakeup.wait(LOOK_EVERY_S)
            if seen != wakeup.count:
                seen = wakeup.count
                for one in self._sockets:
                    one.changed()
            elif self._stopping():
                for one in self._sockets:
                    one.look()
        self._loop = None
