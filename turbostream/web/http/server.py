"""The server of a WSGI application, on gevent, unpatched, in the main thread.

Unpatched on purpose: patching would turn the generation thread into a greenlet that shares this
loop, and every frame would stall every viewer.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import gevent
from gevent.event import Event

from turbostream.web.http.connection import Service
from turbostream.web.http.limits import Limits
from turbostream.web.http.listener import Listener, listen
from turbostream.web.http.places import Places
from turbostream.web.http.turns import Turns


class Server:
    """Serves `app` until `stop`."""

    def __init__(
        self, app: Callable[..., Any], host: str, port: int, limits: Limits, places: Places
    ) -> None:
        self._asked = host, port
        self._service = Service(app, limits, places, Turns())
        self._listener: Listener | None = None

    def start(self) -> tuple[str, int]:
        """Listen; the address that was taken. Raises OSError if it cannot be had."""
        self._accept(listen(*self._asked))
        return self.address

    @property
    def address(self) -> tuple[str, int]:
        return self._service.address

    def fileno(self) -> int:
        """The listening socket's descriptor; to be handed over, not to be closed."""
        assert self._listener is not None
        return int(self._listener.socket.fileno())

    def move(self, listening: Any) -> None:
        """Accept on a socket that another process handed over, and no longer on our own."""
        left = self._listener
        self._accept(listening)
        if left is not None:
            left.close()

    def stop(self, timeout_s: float) -> None:
        """Close the listener at once; wait at most `timeout_s` for what is being answered."""
        if self._listener is not None:
            self._listener.close()
        self._service.stopping = True
        places = self._service.places
        deadline = time.monotonic() + timeout_s
        while places.open and time.monotonic() < deadline:
            places.drop_all()
            gevent.sleep(0.01)

    def _accept(self, listening: Any) -> None:
        host, port = listening.getsockname()[:2]
        self._service.address = str(host), int(port)
        self._listener = Listener(listening, self._service)


def until_signal(ended: Callable[[], bool]) -> None:
    """Run the loop until SIGINT, SIGTERM or SIGHUP comes, or `ended` says so.

    SIGHUP is left alone where it is ignored: that is nohup, whose point it is.
    """
    stopped = Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            gevent.signal_handler(number, stopped.set)
    while not stopped.wait(0.25):
        if ended():
            return
