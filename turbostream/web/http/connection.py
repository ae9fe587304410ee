"""One client's connection, from its first byte to its last: requests in, responses out.

One greenlet for each. A request has to arrive completely within `request_timeout_s`, its head
within `max_header_bytes`; between two requests the connection is closed after `idle_timeout_s`, or
when a newcomer needs its slot. A request that is malformed or over a limit gets one sentence, and
the connection closes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from turbostream.web.http import connection_slots, head
from turbostream.web.http.body import Body
from turbostream.web.http.client_socket import ClientSocket, DeadlinePassed
from turbostream.web.http.cpu_shares import CpuShares, CpuUse
from turbostream.web.http.environ import environ_of
from turbostream.web.http.limits import Limits, Refused, malformed
from turbostream.web.http.response import Response

log = logging.getLogger(__name__)


class After(Enum):
    """What follows a request on its connection."""

    NEXT = "another request may follow"
    LINGER = "the last answer was sent, and the client may not have read it"
    CLOSE = "the client has left"


@dataclass
class Service:
    """What all connections of a server share."""

    app: Callable[..., Any]  # WSGI
    limits: Limits
    slots: connection_slots.ConnectionSlots
    shares: CpuShares
    address: tuple[str, int] = ("", 0)
    stopping: bool = False


class Connection:
    """A `connection_slots.Holder`; `run` serves it until it closes."""

    def __init__(self, service: Service, sock: Any, peer: tuple[str, int]) -> None:
        self.local = connection_slots.is_local(peer[0])
        self.network = connection_slots.network_of(peer[0])
        self._service, self._socket, self._peer = service, sock, peer
        self._use = CpuUse(self.local)
        self._client: ClientSocket | None = None

    def drop(self) -> None:
        if self._client is not None:
            self._client.drop()

    def run(self) -> None:
        """Serve requests until the connection closes; its slot was acquired before."""
        service = self._service
        self._use.resume()
        try:
            client = ClientSocket(
                self._socket, service.shares, self._use, service.limits.dead_viewer_s
            )
            client.on_stalled = self._set_stalled
            self._client = client
            service.slots.mark_waiting(self, connection_slots.UNFINISHED)
            wait_s, after = service.limits.request_timeout_s, After.NEXT
            while after is After.NEXT:
                after = self._request(client, wait_s)
                wait_s = service.limits.idle_timeout_s
            if after is After.LINGER and not service.stopping:
                service.slots.mark_waiting(self, connection_slots.UNFINISHED)
                client.linger()
        except OSError as error:
            log.debug("a connection broke: %s", error)  # there is no client to tell
        finally:
            service.slots.release(self)
            self._socket.close()

    def _set_stalled(self, stalled: bool) -> None:
        if stalled:
            self._service.slots.mark_waiting(self, connection_slots.STALLED)
        else:
            self._service.slots.mark_busy(self)

    def _request(self, client: ClientSocket, wait_s: float) -> After:
        """Read one request and answer it."""
        try:
            parsed = self._head(client, wait_s)
            if parsed is None:
                return After.CLOSE
            if (
                not parsed.length
                and not parsed.chunked
                and not self._service.shares.is_heavy(self._use)
            ):
                self._service.slots.mark_busy(self)  # the request is complete
            self._service.shares.wait_for_turn(self._use)
            return self._answer(client, parsed)
        except Refused as refused:
            log.debug("refused a request: %s", refused)
            client.send(refused.response())
            return After.LINGER

    def _head(self, client: ClientSocket, wait_s: float) -> head.Head | None:
        """The next request's head; None if the client has left, or was idle for too long."""
        service, limits = self._service, self._service.limits
        client.deadline = time.monotonic() + wait_s
        if not client.buffer:
            try:
                client.buffer += client.receive()
            except DeadlinePassed:
                return None
            if not client.buffer:
                return None
        service.slots.mark_waiting(self, connection_slots.UNFINISHED)
        client.deadline = time.monotonic() + limits.request_timeout_s
        searched, begun = 0, False
        while True:
            if not begun and len(client.buffer) >= 2:
                begun = True
                if client.buffer[:2] == b"\r\n":  # one empty line is ignored (RFC 9112, 2.2)
                    del client.buffer[:2]
            end = head.find_end(client.buffer, searched, limits.max_header_bytes)
            if end >= 0:
                break
            searched = len(client.buffer)
            try:
                more = client.receive()
            except DeadlinePassed:
                raise self._late() from None
            if client.dropped:
                return None
            if not more:
                raise malformed("the connection ended within the head")
            client.buffer += more
        raw = bytes(client.buffer[:end])
        del client.buffer[:end]
        return head.parse(raw, limits.max_header_bytes)

    def _late(self) -> Refused:
        return Refused(
            408,
            f"The request took longer than {self._service.limits.request_timeout_s:g} s to arrive; "
            "send it without pauses.",
        )

    def _answer(self, client: ClientSocket, parsed: head.Head) -> After:
        service = self._service
        if client.dropped:
            return After.CLOSE
        body = Body(parsed, client, self._late(), lambda: service.slots.mark_busy(self))
        if body.over:
            service.slots.mark_busy(self)
        response = Response(parsed, client, lambda: body.over and not service.stopping)

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            service.slots.mark_busy(self)
            if body.problem is not None and not response.started:
                raise body.problem
            return response.start(status, headers, exc_info)

        result: Any = None
        try:
            result = service.app(environ_of(parsed, body, self._peer, service.address), start)
            deliver = getattr(result, "deliver", None)
            converse = getattr(result, "converse", None)
            if parsed.method == "HEAD" or (deliver is None and converse is None):
                response.send(result)
            else:
                response.write(b"")
                if deliver is not None:
                    self._stream(client, deliver)
                elif converse is not None:
                    converse(client)  # another protocol owns the connection until it ends
                return After.CLOSE
        except (Refused, OSError):
            raise
        except Exception:
            log.exception("[flask] %s %s failed", parsed.method, parsed.target[:200])
            if not response.started:
                raise Refused(500, "The server failed; see its log.") from None
            return After.CLOSE
        finally:
            service.slots.mark_waiting(self, connection_slots.IDLE)
            close = getattr(result, "close", None)
            if close is not None:
                close()
        return After.LINGER if response.closes else After.NEXT

    def _stream(self, client: ClientSocket, deliver: Callable[[Any], None]) -> None:
        """A live stream: `deliver` owns the socket until the viewer leaves."""
        self._service.shares.charge(self._use)
        self._service.shares.count_streams(1)
        client.socket.settimeout(None)
        try:
            deliver(client.socket)
        finally:
            self._service.shares.count_streams(-1)
