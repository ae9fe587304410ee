"""Writes the response of a WSGI application.

A body of unknown length ends with the connection and is not chunked: here that is a stream, and
several players cannot read a chunked one. After a 101 the connection belongs to another protocol.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable
from email.utils import formatdate
from functools import lru_cache
from typing import Any

from turbostream.web.http.client_socket import ClientSocket
from turbostream.web.http.head import Head

log = logging.getLogger(__name__)

_UNSAFE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Response:
    """One response; once its head is written, `closes` says whether the connection closes."""

    def __init__(self, head: Head, client: ClientSocket, input_is_over: Any) -> None:
        self.started = False  # true once bytes of it were written
        self.closes = not head.keep_alive
        self._request, self._client = head, client
        self._input_is_over = input_is_over
        self._status = ""
        self._headers: list[tuple[str, str]] = []
        self._left: int | None = None  # of the body, where its length is known

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """WSGI's start_response."""
        if exc_info is not None and self.started:
            raise exc_info[1].with_traceback(exc_info[2])
        self._status, self._headers = status, list(headers)
        return self.write

    def send(self, result: Iterable[bytes]) -> None:
        for piece in result:
            if piece:
                self.write(piece)
        if not self.started:
            self.write(b"")
        if self._left:
            log.error("[flask] a response ended %d bytes short of its length.", self._left)
            self.closes = True

    def write(self, piece: bytes) -> None:
        """Write a piece of the body, the first one together with the head."""
        if not self.started:
            head = self._head()
            self.started = True
        else:
            head = b""
        if self._left is not None:
            if len(piece) > self._left:
                raise ValueError("the application wrote more than its Content-Length")
            self._left -= len(piece)
        self._client.send(head + piece if self._may_have_body else head)

    @property
    def _may_have_body(self) -> bool:
        return self._request.method != "HEAD" and not self._status.startswith(("204", "304", "1"))

    def _head(self) -> bytes:
        assert self._status, "the application did not call start_response"
        options, length, lines = "", None, [f"HTTP/1.1 {self._status}"]
        for name, value in self._headers:
            if _UNSAFE.search(name) or _UNSAFE.search(value):
                raise ValueError(f"a header of the response holds a control character: {name!r}")
            lower = name.lower()
            if lower == "connection":
                options += value.lower()
                continue
            if lower == "content-length":
                length = int(value)
            lines.append(f"{name}: {value}")
        if not any(name.lower() == "date" for name, _ in self._headers):
            lines.append(f"Date: {_date(int(time.time()))}")
        if self._may_have_body:
            self._left = length
            self.closes |= length is None
        self.closes |= "close" in options or not self._input_is_over() or self._declines_websocket()
        named = ["Upgrade"] if "upgrade" in options else []
        if self.closes and not self._status.startswith("101"):
            named.append("close")
        elif self._request.version == "1.0":
            named.append("keep-alive")
        if named:
            lines.append(f"Connection: {', '.join(named)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _declines_websocket(self) -> bool:
        """Such a connection closes: a proxy that takes any answer for a 101 would pass on what
        follows without its forwarding headers, as if it came from this machine."""
        may_ask = self._request.method in ("GET", "HEAD") and not self._status.startswith("101")
        return may_ask and any(
            name == "upgrade" and "websocket" in value.lower()
            for name, value in self._request.headers
        )


@lru_cache(maxsize=1)
def _date(now: int) -> str:
    return formatdate(now, usegmt=True)
