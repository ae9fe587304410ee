"""One client's connection, from its first byte to its last: requests in, responses out.

A greenlet for each. A request has to arrive whole within `request_timeout_s`, its head within
`max_header_bytes`; between two requests the connection is closed after `idle_timeout_s`, or when a
newcomer needs its place. Whatever is malformed or past a limit gets one sentence, and the
connection ends with it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from turbostream.web.http import head, places
from turbostream.web.http.body import Body
from turbostream.web.http.environ import environ_of
from turbostream.web.http.limits import Limits, Refused, malformed
from turbostream.web.http.response import Response
from turbostream.web.http.turns import Turn, Turns
from turbostream.web.http.wire import Late, Wire

log = logging.getLogger(__name__)


class After(Enum):
    """What follows a request on its connection."""

    NEXT = "another request may come"
    LINGER = "the last answer was sent, and may still be on its way"
    CLOSE = "nobody is left to read anything"


@dataclass
class Service:
    """What all connections of a server share."""

    app: Callable[..., Any]  # WSGI
    limits: Limits
    places: places.Places
    turns: Turns
    address: tuple[str, int] = ("", 0)
    stopping: bool = False


class Connection:
    """A `places.Holder`; `run` serves it to its end."""

    def __init__(self, service: Service, sock: Any, peer: tuple[str, int]) -> None:
        self.near = places.near(peer[0])
        self.network = places.network_of(peer[0])
        self._service, self._socket, self._peer = service, sock, peer
        self._turn = Turn(self.near)
        self._wire: Wire | None = None

    def drop(self) -> None:
        if self._wire is not None:
            self._wire.drop()

    def run(self) -> None:
        """Serve requests until the connection ends; the place was taken before."""
        service = self._service
        self._turn.resume()
        try:
            wire = Wire(self._socket, service.turns, self._turn, service.limits.dead_viewer_s)
            wire.on_stuck = self._is_stuck
            self._wire = wire
            service.places.waits(self, places.UNFINISHED)
            wait_s, after = service.limits.request_timeout_s, After.NEXT
            while after is After.NEXT:
                after = self._request(wire, wait_s)
                wait_s = service.limits.idle_timeout_s
            if after is After.LINGER and not service.stopping:
                service.places.waits(self, places.UNFINISHED)
                wire.linger()
        except OSError as error:
            log.debug("a connection broke: %s", error)  # nobody is left to tell
        finally:
            service.places.leave(self)
            self._socket.close()

    def _is_stuck(self, stuck: bool) -> None:
        if stuck:
            self._service.places.waits(self, places.STUCK)
        else:
            self._service.places.is_busy(self)

    def _request(self, wire: Wire, wait_s: float) -> After:
        """Read one request and answer it."""
        try:
            parsed = self._head(wire, wait_s)
            if parsed is None:
                return After.CLOSE
            if (
                not parsed.length
                and not parsed.chunked
                and not self._service.turns.heavy(self._turn)
            ):
                self._service.places.is_busy(self)  # the request is whole
            self._service.turns.take(self._turn)
            return self._answer(wire, parsed)
        except Refused as refused:
            log.debug("a request that is refused: %s", refused)
            wire.send(refused.response())
            return After.LINGER

    def _head(self, wire: Wire, wait_s: float) -> head.Head | None:
        """The next request's head; None if the client has left, or waited too long, before it."""
        service, limits = self._service, self._service.limits
        wire.deadline = time.monotonic() + wait_s
        if not wire.buffer:
            try:
                wire.buffer += wire.receive()
            except Late:
                return None
            if not wire.buffer:
                return None
        service.places.waits(self, places.UNFINISHED)
        wire.deadline = time.monotonic() + limits.request_timeout_s
        searched, begun = 0, False
        while True:
            if not begun and len(wire.buffer) >= 2:
                begun = True
                if wire.buffer[:2] == b"\r\n":  # one empty line is to be ignored (RFC 9112, 2.2)
                    del wire.buffer[:2]
            end = head.find_end(wire.buffer, searched, limits.max_header_bytes)
            if end >= 0:
                break
            searched = len(wire.buffer)
            try:
                more = wire.receive()
            except Late:
                raise self._late() from None
            if wire.dropped:
                return None
            if not more:
                raise malformed("the connection ended within the head")
            wire.buffer += more
        raw = bytes(wire.buffer[:end])
        del wire.buffer[:end]
        return head.parse(raw, limits.max_header_bytes)

    def _late(self) -> Refused:
        return Refused(
            408,
            f"The request took longer than {self._service.limits.request_timeout_s:g} s to arrive; "
            "send it at once.",
        )

    def _answer(self, wire: Wire, parsed: head.Head) -> After:
        service = self._service
        if wire.dropped:
            return After.CLOSE
        body = Body(parsed, wire, self._late(), lambda: service.places.is_busy(self))
        if body.over:
            service.places.is_busy(self)
        response = Response(parsed, wire, lambda: body.over and not service.stopping)

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            service.places.is_busy(self)
            if body.problem is not None and not response.started:
                raise body.problem
            return response.start(status, headers, exc_info)

        result: Any = None
        try:
            result = service.app(environ_of(parsed, body, self._peer, service.address), start)
            deliver = getattr(result, "deliver", None)
            if deliver is None or parsed.method == "HEAD":
                response.send(result)
            else:
                response.write(b"")
                self._stream(wire, deliver)
                return After.CLOSE
        except (Refused, OSError):
            raise
        except Exception:
            log.exception("[flask] %s %s failed", parsed.method, parsed.target[:200])
            if not response.started:
                raise Refused(500, "The server failed; its log says where.") from None
            return After.CLOSE
        finally:
            service.places.waits(self, places.IDLE)
            close = getattr(result, "close", None)
            if close is not None:
                close()
        return After.LINGER if response.closes else After.NEXT

    def _stream(self, wire: Wire, deliver: Callable[[Any], None]) -> None:
        """A live stream: the sender has the socket until the viewer leaves."""
        self._service.turns.charge(self._turn)
        self._service.turns.stream(1)
        wire.socket.settimeout(None)
        try:
            deliver(wire.socket)
        finally:
            self._service.turns.stream(-1)
