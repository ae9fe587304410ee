"""gevent's WSGI server, unpatched, in the main thread.

Unpatched on purpose: patching would turn the generation thread into a greenlet that shares this
loop, and every frame would stall every viewer.
"""

from __future__ import annotations

import errno
import logging
import resource
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent
from flask import Flask
from gevent.event import Event
from gevent.pywsgi import WSGIServer

from turbostream.web.connection import Connection, Connections, Limits, refusal

log = logging.getLogger(__name__)

RESERVED_FILES = 64  # descriptors for the log, the model, the GPU's driver and the like
FULL = refusal(
    503, "All connections are taken; close some, try again soon, or raise MAX_CONNECTIONS."
)


def connections_possible(wanted: int) -> int:
    """How many of `wanted` connections the system's limit on open files allows; raises the limit
    as far as this process may."""
    need = wanted + RESERVED_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= need:
        return wanted
    most = need if hard == resource.RLIM_INFINITY else min(need, hard)
    with suppress(OSError, ValueError):  # macOS has a lower limit of its own
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    if soft >= need:
        return wanted
    possible = max(8, soft - RESERVED_FILES)
    log.warning(
        "[flask] only %d files may be open at once (ulimit -n), so %d connections are served "
        "instead of MAX_CONNECTIONS=%d.",
        soft,
        possible,
        wanted,
    )
    return possible


_Base: Any = WSGIServer  # its types leave out what a server of one's own has to reach


class _Listener(_Base):  # type: ignore[misc]
    """Counts the connections, keeps to their limit, and survives a lack of descriptors."""

    def __init__(self, limits: Limits, connections: Connections, *args: Any, **more: Any) -> None:
        self.limits = limits
        self.connections = connections
        self._complained_at = -60.0
        super().__init__(*args, handler_class=Connection, **more)

    def handle(self, sock: Any, address: Any) -> None:
        connections, most = self.connections, self.limits.max_connections
        if connections.open >= most:
            connections.make_room()
        if connections.open >= most + len(connections.leaving):
            connections.refused += 1
            with suppress(OSError):
                sock._sock.send(FULL)
                sock._sock.shutdown(socket.SHUT_WR)
                sock._sock.recv(65536)  # what is left unread would turn the answer into a reset
            return
        connections.open += 1
        try:
            super().handle(sock, address)
        finally:
            connections.open -= 1

    def do_read(self) -> Any:
        try:
            return super().do_read()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                raise
            if time.monotonic() - self._complained_at > 10.0:
                self._complained_at = time.monotonic()
                log.error("[flask] no new connection can be taken (%s).", error.strerror)
            self.stop_accepting()
            self._timer = self.loop.timer(0.2)
            self._timer.start(self._start_accepting_if_started)
            return None


class Server:
    """Serves `app` until `stop`."""

    def __init__(
        self, app: Flask, host: str, port: int, limits: Limits, connections: Connections
    ) -> None:
        self._app = app
        self._limits, self._connections = limits, connections
        self._server = self._listening((host, port))

    def _listening(self, listener: Any) -> _Listener:
        """A server on an address, or on a socket that listens already."""
        return _Listener(
            self._limits,
            self._connections,
            listener,
            self._app,
            log=None,
            error_log=logging.getLogger("turbostream.web.wsgi"),
            backlog=512 if isinstance(listener, tuple) else None,
        )

    def start(self) -> tuple[str, int]:
        """Listen; the address that was taken. Raises OSError if it cannot be had."""
        self._server.start()
        return self.address

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._server.socket.getsockname()[:2]
        return str(host), int(port)

    def fileno(self) -> int:
        """The listening socket's descriptor; to be handed over, not to be closed."""
        return int(self._server.socket.fileno())

    def move(self, listener: Any) -> None:
        """Accept on `listener`, which another process handed over, and no longer on our own."""
        left, self._server = self._server, self._listening(listener)
        self._server.start()
        left.close()

    def stop(self, timeout_s: float) -> None:
        """Close the listener at once; wait at most `timeout_s` for what is being answered."""
        self._server.stop(timeout=0)
        deadline = time.monotonic() + timeout_s
        while self._connections.open and time.monotonic() < deadline:
            self._connections.make_room()
            gevent.sleep(0.01)


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
