"""`wsgi.input`: the body of one request, read when the application asks for it, never ahead.

A body that nobody reads is left where it is; the connection closes after the answer. A defect is
kept in `problem`, for the connection to answer, and shows to the application as a lost client.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from turbostream.web.http.chunks import Chunks
from turbostream.web.http.head import Head
from turbostream.web.http.limits import Refused
from turbostream.web.http.wire import Late, Wire

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Body(io.RawIOBase):
    """Reads exactly the body, whatever follows it on the connection."""

    def __init__(self, head: Head, wire: Wire, late: Refused, on_end: Callable[[], None]) -> None:
        self.problem: Refused | None = None
        self._wire, self._late, self._on_end = wire, late, on_end
        self._left = head.length
        self._chunks = Chunks() if head.chunked else None
        self._ready = b""  # decoded, not yet read
        self._expected = head.expects_continue
        self.over = not head.chunked and not head.length  # all of it has come

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        while view and not self._ready and not self.over:
            self._advance()
        count = min(len(view), len(self._ready))
        view[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        return count

    def _advance(self) -> None:
        if self.problem is not None:
            raise OSError(self.problem.sentence)
        try:
            self._take(self._next())
        except Late:
            self.problem = self._late
        except Refused as refused:
            self.problem = refused
        if self.problem is not None:
            raise OSError(self.problem.sentence)
        if self.over:
            self._on_end()

    def _next(self) -> bytes:
        """Bytes from the connection, those first that came with the head."""
        wire = self._wire
        asked, self._expected = self._expected, False
        if wire.buffer:
            data = bytes(wire.buffer)
            wire.buffer.clear()
            return data
        if asked:
            wire.send(CONTINUE)
        data = wire.receive()
        if not data:
            raise Refused(
                400, "The connection ended within the body of the request; send it whole."
            )
        return data

    def _take(self, data: bytes) -> None:
        if self._chunks is None:
            self._ready = data[: self._left]
            self._wire.buffer += data[self._left :]
            self._left -= len(self._ready)
            self.over = not self._left
            return
        self._ready = self._chunks.feed(data)
        if self._chunks.done:
            self.over = True
            self._wire.buffer += self._chunks.rest
