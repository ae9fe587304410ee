"""gevent's WSGI server, unpatched, in the main thread.

Unpatched on purpose: patching would turn the generation thread into a greenlet that shares this
loop, and every frame would stall every viewer.
"""

from __future__ import annotations

import errno
import logging
import signal
import socket
from collections.abc import Callable
from typing import Any

import gevent
from flask import Flask
from gevent.event import Event
from gevent.pywsgi import WSGIHandler, WSGIServer

log = logging.getLogger(__name__)

SEND_BUFFER_BYTES = 64 * 1024  # what the kernel holds for a slow viewer; old pictures, all of it
DEAD_AFTER_S = 10.0  # a socket that takes no byte for so long is dead


class StreamHandler(WSGIHandler):
    """Small send buffers, no delay, and no end to a stream that still takes bytes."""

    def __init__(self, sock: Any, address: Any, server: Any) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(DEAD_AFTER_S)
        super().__init__(sock, address, server)

    def _sendall(self, data: bytes) -> None:
        # gevent's sendall bounds the whole send, which kills slow readers of large parts. Here
        # the timeout is for each piece: whoever takes a byte now and then stays.
        view = memoryview(data)
        while view:
            try:
                view = view[self.socket.send(view) :]
            except TimeoutError:
                raise BrokenPipeError(errno.EPIPE, "no byte taken") from None
        self.response_length += len(data)

    def finalize_headers(self) -> None:
        super().finalize_headers()
        # A connection that closes after the response needs no chunks, and several players
        # cannot read a chunked stream.
        headers: Any = self.response_headers
        if self.response_use_chunked and (b"Connection", b"close") in headers:
            self.response_use_chunked = False
            headers.remove((b"Transfer-Encoding", b"chunked"))


class Server:
    """Serves `app` until `stop`."""

    def __init__(self, app: Flask, host: str, port: int) -> None:
        self._app = app
        self._server = self._listening((host, port))

    def _listening(self, listener: Any) -> WSGIServer:
        """A server on an address, or on a socket that listens already."""
        return WSGIServer(
            listener,
            self._app,
            handler_class=StreamHandler,
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
        """Close the listener at once and the connections after `timeout_s`."""
        self._server.stop(timeout=timeout_s)


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
