"""The listening socket: accepts connections, a few at a time, and survives a lack of descriptors.

Not gevent's StreamServer: that one accepts up to a hundred connections without giving way, and ends
on transient errors, unless its private methods are replaced.
"""

from __future__ import annotations

import errno
import logging
import socket
import time
from contextlib import suppress
from typing import Any

import gevent
from gevent import socket as gsocket

from turbostream.bind_errors import Sentences
from turbostream.web.http.connection import Connection, Service
from turbostream.web.http.cpu_shares import SLICE_S
from turbostream.web.http.limits import refusal

log = logging.getLogger(__name__)

BACKLOG = 4096  # a lost SYN costs its client a second; the system may allow fewer
TRANSIENT = (errno.ECONNABORTED, errno.EPROTO, errno.EPERM)  # of that client only
RETRY_S = 0.2  # after a lack of descriptors or memory
CROWDED_S = 0.005  # between looks for a free slot
REFUSED_AT_ONCE = 32  # refused clients that get time to read why
REFUSED_S = 0.5
WHY_NOT_LISTENING = Sentences(
    host="SERVER_HOST {host} is not an address of this machine; use 127.0.0.1 to serve this "
    "machine only, or 0.0.0.0 to serve everybody who can reach it.",
    port="This user may not listen on {host}:{port}; give a SERVER_PORT above 1023, or run as a "
    "user with the permission.",
    other="The server cannot listen on {host}:{port} ({reason}); stop the program that does, or "
    "give another SERVER_PORT.",
)


def listen(host: str, port: int) -> Any:
    """A listening socket; raises OSError if the address is unavailable."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = gsocket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


class Listener:
    """Accepts on `socket` until it is closed."""

    def __init__(self, listening: Any, service: Service) -> None:
        self.socket = listening
        self._service = service
        self._refusing = 0
        self._logged_at = -60.0
        self._loop = gevent.spawn(self._run)

    def close(self) -> None:
        self._loop.kill(block=False)
        self.socket.close()

    def _run(self) -> None:
        # Not through the queue of requests: connections that are not accepted fill the backlog, and
        # then newcomers' SYNs are lost, which costs them a second.
        since = time.thread_time()
        self.socket.settimeout(None)
        while True:
            if time.thread_time() - since >= SLICE_S:
                gevent.sleep(0)
                since = time.thread_time()
            while self._service.slots.crowded(self._service.limits):
                gevent.sleep(CROWDED_S)
            try:
                accepted, address = self.socket.accept()
            except OSError as error:
                if error.errno in (errno.EBADF, errno.EINVAL):
                    return  # closed
                self._pause(error)
            else:
                self._take(accepted, (str(address[0]), int(address[1])))

    def _pause(self, error: OSError) -> None:
        if error.errno in TRANSIENT:
            return
        if time.monotonic() - self._logged_at > 10.0:
            self._logged_at = time.monotonic()
            log.error("[flask] no new connection can be taken (%s).", error.strerror)
        gevent.sleep(RETRY_S)

    def _take(self, accepted: Any, peer: tuple[str, int]) -> None:
        service = self._service
        connection = Connection(service, accepted, peer)
        sentence = service.slots.acquire(connection, service.limits)
        if sentence is None:
            gevent.spawn(connection.run)
        elif self._refusing < REFUSED_AT_ONCE:
            self._refusing += 1
            gevent.spawn(self._refuse, accepted, sentence)
        else:
            with suppress(OSError):
                accepted.settimeout(0)
                accepted.send(refusal(503, sentence))
                accepted.shutdown(socket.SHUT_WR)
                accepted.recv(65536)  # unread data would turn the answer into a reset
            accepted.close()

    def _refuse(self, accepted: Any, sentence: str) -> None:
        """Say why; a request in flight would reset the answer, so it is read first."""
        try:
            with suppress(OSError):
                accepted.settimeout(REFUSED_S)
                accepted.send(refusal(503, sentence))
                accepted.shutdown(socket.SHUT_WR)
                while accepted.recv(65536) and self._refusing < REFUSED_AT_ONCE:
                    gevent.sleep(REFUSED_S / 10)
        finally:
            self._refusing -= 1
            accepted.close()
