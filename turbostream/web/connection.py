"""One client's connection: gevent's HTTP handler with limits on what a client may cost.

A request has to arrive whole within `request_timeout_s`, its head within `max_header_bytes`; a
connection between two requests is closed after `idle_timeout_s`, or when a newcomer needs its
place. Whatever is past a limit gets one sentence in the shape that all errors have.
"""

from __future__ import annotations

import errno
import json
import logging
import re
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPException
from typing import Any

from gevent.pywsgi import Input, WSGIHandler

from turbostream.settings import Settings

log = logging.getLogger(__name__)

SEND_BUFFER_BYTES = 64 * 1024  # what the kernel holds for a slow viewer; old pictures, all of it
LONGEST_LINE = 8192  # gevent's bound on the request line
GONE = (
    errno.EPIPE,
    errno.ECONNRESET,
    errno.ECONNABORTED,
    errno.ETIMEDOUT,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EBADF,
)


@dataclass(frozen=True)
class Limits:
    """What one client, and all of them together, may cost."""

    max_connections: int
    max_header_bytes: int
    request_timeout_s: float
    idle_timeout_s: float
    dead_viewer_s: float

    @classmethod
    def of(cls, settings: Settings, max_connections: int) -> Limits:
        return cls(
            max_connections,
            settings.max_header_bytes,
            settings.request_timeout_s,
            settings.idle_timeout_s,
            settings.dead_viewer_s,
        )


@dataclass
class Connections:
    """The open connections, and those of them that wait for a request, longest waiting first."""

    open: int = 0
    refused: int = 0
    idle: dict[Connection, None] = field(default_factory=dict)
    leaving: set[Connection] = field(default_factory=set)  # told to, still counted as open

    def make_room(self) -> None:
        """Close the connection that has waited longest for its next request, if one does."""
        for connection in self.idle:
            del self.idle[connection]
            self.leaving.add(connection)
            connection.end_reading()
            return


def refusal(code: int, sentence: str) -> bytes:
    """A whole response, for where Flask is not reached."""
    body = json.dumps({"status": "error", "error": sentence}).encode() + b"\n"
    head = (
        f"HTTP/1.1 {code} {HTTPStatus(code).phrase}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"{'Retry-After: 2' + chr(13) + chr(10) if code == 503 else ''}"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body


class HeadTooLarge(ValueError):
    pass


class HeadCut(ValueError):
    pass


class _Head:
    """Reads header lines, no more than `most` bytes of them."""

    def __init__(self, file: Any, most: int) -> None:
        self._file, self._left = file, most
        self.last = b""

    def readline(self, size: int) -> bytes:
        self.last = self._file.readline(min(size, self._left + 1))
        self._left -= len(self.last)
        if self._left < 0:
            raise HeadTooLarge
        return self.last


# Their types know neither what they override nor gevent's own sockets.
_Input: Any = Input
_Handler: Any = WSGIHandler


class _Body(_Input):  # type: ignore[misc]
    """Where gevent 26.9 takes a chunk without a length for a number, the body cannot be read."""

    def _chunked_read(self, length: int | None = None, use_readline: bool = False) -> bytes:
        try:
            return bytes(super()._chunked_read(length, use_readline))
        except ValueError as error:
            self._chunked_input_error = True  # so that no rest of it is waited for
            raise OSError("a chunk without a length") from error


class Connection(_Handler):  # type: ignore[misc]
    """gevent's handler for one connection, with the limits of `server.limits`."""

    ignored_socket_errors = GONE
    response_use_chunked: bool
    wsgi_input: Any

    def __init__(self, sock: Any, address: Any, server: Any) -> None:
        self.limits: Limits = server.limits
        self.connections: Connections = server.connections
        dead_ms = int(self.limits.dead_viewer_s * 1000)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: a peer that vanished without a word
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, dead_ms)
        self._timer = server.loop.timer(0)
        self._late = False
        self._served = 0
        super().__init__(sock, address, server)

    def handle(self) -> None:
        try:
            super().handle()
        finally:
            self._timer.stop()
            self._timer.close()
            self.connections.idle.pop(self, None)
            self.connections.leaving.discard(self)

    def end_reading(self) -> None:
        """As if the client had closed its side; what waits for it wakes up."""
        with suppress(OSError):
            self.socket._sock.shutdown(socket.SHUT_RD)

    # -- a request -----------------------------------------------------------------------------

    def handle_one_request(self) -> Any:
        result = super().handle_one_request()
        self._timer.stop()
        self._served += 1
        if self._late:
            return None
        if isinstance(result, tuple):
            code, answer = result
            if code == "414":
                answer = refusal(414, f"An address has at most {LONGEST_LINE:,} characters.")
            return code, answer
        return result

    def read_requestline(self) -> str:
        limits = self.limits
        self.headers_sent = False  # of the last response
        wait_s = limits.idle_timeout_s if self._served else limits.request_timeout_s
        self._start_timer(wait_s, self.end_reading)
        self.connections.idle[self] = None
        try:
            begun = self.rfile.peek(1)
        finally:
            self.connections.idle.pop(self, None)
            self._timer.stop()
        if not begun:
            return ""
        self._start_timer(limits.request_timeout_s, self._refuse_late)
        return str(super().read_requestline())

    def MessageClass(self, *args: Any) -> Any:
        head = _Head(args[0], self.limits.max_header_bytes)
        message = super().MessageClass(head, *args[1:])
        if head.last not in (b"\r\n", b"\n"):
            raise HeadCut("the connection ended within the head")
        lengths = message.get_all("content-length", [])
        coding = message.get("transfer-encoding")
        if len(lengths) > 1 or not all(re.fullmatch(r"[0-9]{1,18}", one) for one in lengths):
            raise ValueError("Content-Length must be one number")
        if coding is not None and (lengths or coding.lower() != "chunked"):
            # Two readings of where a body ends are how requests are smuggled past a proxy.
            raise ValueError("Transfer-Encoding must be chunked, without a Content-Length")
        return message

    def read_request(self, raw_requestline: str) -> bool:
        super().read_request(raw_requestline)
        if not str(self.request_version).startswith("HTTP/1."):
            raise ValueError("only HTTP/1.0 and HTTP/1.1 are spoken here")
        if not self.content_length and "transfer-encoding" not in self.headers:
            self._timer.stop()  # nothing more to come
        return True

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        given = self.wsgi_input
        self.wsgi_input = _Body(
            given.rfile, given.content_length, given.socket, given.chunked_input
        )
        if environ["wsgi.input"] is given:
            environ["wsgi.input"] = self.wsgi_input
        return environ

    def _start_timer(self, after_s: float, then: Any) -> None:
        self._timer.stop()
        self._timer.close()
        self._timer = self.server.loop.timer(after_s)
        self._timer.start(then)

    def _refuse_late(self) -> None:
        """In the hub: nothing here may wait."""
        self._late = True
        sentence = (
            f"The request took longer than {self.limits.request_timeout_s:g} s to arrive; "
            "send it at once."
        )
        if not self.headers_sent:
            with suppress(OSError):
                self.socket._sock.send(refusal(408, sentence))
        self.end_reading()

    def _handle_client_error(self, ex: Exception) -> tuple[str, bytes]:
        log.debug("a request that is none: %r", ex)
        if isinstance(ex, HeadTooLarge | HTTPException):
            most = self.limits.max_header_bytes
            return "431", refusal(
                431, f"The head of a request has at most {most:,} bytes and 100 lines."
            )
        if isinstance(ex, OSError):
            return "400", b""  # nobody is left to read an answer
        return "400", refusal(400, f"This is not an HTTP request that can be read: {ex}.")

    def _send_error_response_if_possible(self, error_code: int) -> None:
        self.close_connection = True
        if not self.response_length and not self._late:
            with suppress(OSError):
                sentence = "The body of the request cannot be read; send it whole."
                if error_code == 500:
                    sentence = "The server failed; its log says where."
                self.socket.sendall(refusal(error_code, sentence))

    def handle_one_response(self) -> None:
        super().handle_one_response()
        body = self.wsgi_input
        if body is not None and (
            body._chunked_input_error or body.position < (body.content_length or 0)
        ):
            self.close_connection = True  # where the next request begins cannot be known

    # -- its response --------------------------------------------------------------------------

    def process_result(self) -> None:
        deliver = getattr(self.result, "deliver", None)
        if deliver is None:
            super().process_result()
        else:
            self._write_with_headers(b"")
            deliver(self.socket)

    def _sendall(self, data: bytes) -> None:
        # gevent's sendall bounds the whole send, which kills slow readers of large answers. Here
        # the timeout is for each piece: whoever takes a byte now and then stays.
        if self._late:
            raise BrokenPipeError(errno.EPIPE, "answered already")
        view = memoryview(data)
        while view:
            try:
                view = view[self.socket.send(view, timeout=self.limits.dead_viewer_s) :]
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
