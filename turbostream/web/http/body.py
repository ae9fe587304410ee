"""`wsgi.input`: the body of one request, read when the application asks for it, never ahead.

A body that is not read is left in the socket, and the connection closes after the answer. A defect
is kept in `problem`, for the connection to answer; the application gets an OSError.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from turbostream.web.http.chunk_decoder import ChunkDecoder
from turbostream.web.http.client_socket import ClientSocket, DeadlinePassed
from turbostream.web.http.head import Head
from turbostream.web.http.limits import Refused

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Body(io.RawIOBase):
    """Reads the body and nothing of what follows it on the connection."""

    def __init__(
        self, head: Head, client: ClientSocket, late: Refused, on_end: Callable[[], None]
    ) -> None:
        self.problem: Refused | None = None
        self._client, self._late, self._on_end = client, late, on_end
        self._left = head.length
        self._decoder = ChunkDecoder() if head.chunked else None
        self._ready = b""  # decoded, not yet read
        self._expected = head.expects_continue
        self.over = not head.chunked and not head.length  # all of it has arrived

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
        except DeadlinePassed:
            self.problem = self._late
        except Refused as refused:
            self.problem = refused
        if self.problem is not None:
            raise OSError(self.problem.sentence)
        if self.over:
            self._on_end()

    def _next(self) -> bytes:
        """Bytes from the connection; first those that arrived with the head."""
        client = self._client
        announced, self._expected = self._expected, False
        if client.buffer:
            data = bytes(client.buffer)
            client.buffer.clear()
            return data
        if announced:
            client.send(CONTINUE)
        data = client.receive()
        if not data:
            raise Refused(
                400, "The connection ended within the body of the request; send all of it."
            )
        return data

    def _take(self, data: bytes) -> None:
        if self._decoder is None:
            self._ready = data[: self._left]
            self._client.buffer += data[self._left :]
            self._left -= len(self._ready)
            self.over = not self._left
            return
        self._ready = self._decoder.feed(data)
        if self._decoder.done:
            self.over = True
            self._client.buffer += self._decoder.rest
