"""The server of a WSGI application, on gevent, unpatched, in the main thread.

Patching would turn the generation thread into a greenlet on this loop, and every frame would stall
every viewer.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import Event

from turbostream.web.http.connection import Service
from turbostream.web.http.connection_slots import ConnectionSlots
from turbostream.web.http.cpu_shares import CpuShares
from turbostream.web.http.limits import Limits
from turbostream.web.http.listener import Listener, listen


class Server:
    """Serves `app` until `stop`."""

    def __init__(
        self, app: Callable[..., Any], host: str, port: int, limits: Limits, slots: ConnectionSlots
    ) -> None:
        self._asked = host, port
        self._service = Service(app, limits, slots, CpuShares())
        self._listener: Listener | None = None

    def start(self) -> tuple[str, int]:
        """Listen; the address in use. Raises OSError if it is unavailable."""
        self._accept(listen(*self._asked))
        return self.address

    @property
    def address(self) -> tuple[str, int]:
        return self._service.address

    def fileno(self) -> int:
        """The listening socket's descriptor; for a handover; the caller must not close it."""
        assert self._listener is not None
        return int(self._listener.socket.fileno())

    def move(self, listening: Any) -> None:
        """Accept on a socket from another process, and close our own."""
        previous = self._listener
        self._accept(listening)
        if previous is not None:
            previous.close()

    def stop(self, timeout_s: float) -> None:
        """Close the listener at once; wait at most `timeout_s` for the requests in progress."""
        if self._listener is not None:
            self._listener.close()
        self._service.stopping = True
        slots = self._service.slots
        deadline = time.monotonic() + timeout_s
        while slots.open and time.monotonic() < deadline:
            slots.drop_waiting()
            gevent.sleep(0.01)

    def _accept(self, listening: Any) -> None:
        host, port = listening.getsockname()[:2]
        self._service.address = str(host), int(port)
        self._listener = Listener(listening, self._service)


def until_signal(ended: Callable[[], bool]) -> None:
    """Run the loop until SIGINT, SIGTERM or SIGHUP, or until `ended` is true.

    A SIGHUP that is ignored stays ignored: the program runs under nohup.
    """
    stopped = Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            gevent.signal_handler(number, stopped.set)
    while not stopped.wait(0.25):
        if ended():
            return
