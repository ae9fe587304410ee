"""Decodes chunked bodies strictly: every defect is a `Refused`, nothing is skipped.

Sans-I/O. Not h11's reader: it accepts a bare CR in an extension, a bare LF and folded lines in
trailers, without limits on either, and builds an event for every chunk, which makes a body of
one-byte chunks several times as expensive (docs/experiments/2026-11.md has the figures).
"""

from __future__ import annotations

import re

from turbostream.web.http.limits import Refused

LONGEST_LINE = 1024  # a chunk's size with its extension, or a trailer
MOST_TRAILERS = 16
MOST_EXTRA_BYTES = 8192  # extensions and trailers of one body together

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_TRAILER = re.compile(rb"[-!#$%&'*+.^_`|~0-9a-zA-Z]+:[\t\x20-\x7e\x80-\xff]*\r\n")


class ChunkDecoder:
    """Decodes what `feed` is given; `done` after the last chunk and the trailers, which are
    dropped. What follows the body is in `rest`."""

    def __init__(self) -> None:
        self.done = False
        self.rest = b""  # undecoded: the beginning of a line, or what follows the body
        self._left = 0  # bytes of the chunk that are missing
        self._closing = False  # the CR LF after a chunk is missing
        self._trailers: int | None = None  # how many, once the last chunk has arrived
        self._extra = 0

    def feed(self, data: bytes) -> bytes:
        """The bytes of the body that `data` completes. Raises Refused."""
        data, place = self.rest + data, 0
        found: list[bytes] = []
        while not self.done and place < len(data):
            if self._left:
                piece = data[place : place + self._left]
                found.append(piece)
                place += len(piece)
                self._left -= len(piece)
                continue
            end = data.find(b"\n", place, place + LONGEST_LINE) + 1
            if not end:
                if len(data) - place >= LONGEST_LINE:
                    raise _malformed("a line of it is too long")
                break
            self._line(data[place:end])
            place = end
        self.rest = data[place:]
        return b"".join(found)

    def _line(self, line: bytes) -> None:
        if self._closing:
            if line != b"\r\n":
                raise _malformed("a chunk is longer than its length")
            self._closing = False
        elif self._trailers is not None:
            self._trailer(line)
        else:
            match = _SIZE.fullmatch(line)
            if match is None:
                raise _malformed("a chunk has no length, or a malformed one")
            self._add(len(match[2] or b""))
            self._left = int(match[1], 16)
            self._closing = self._left > 0
            if not self._left:
                self._trailers = 0

    def _trailer(self, line: bytes) -> None:
        assert self._trailers is not None
        if line == b"\r\n":
            self.done = True
            return
        self._trailers += 1
        self._add(len(line))
        if self._trailers > MOST_TRAILERS or not _TRAILER.fullmatch(line):
            raise _malformed("it has too many trailers, or a malformed one")

    def _add(self, extra: int) -> None:
        self._extra += extra
        if self._extra > MOST_EXTRA_BYTES:
            raise _malformed("its extensions and trailers are too long")


def _malformed(what: str) -> Refused:
    return Refused(400, f"The body was not sent as HTTP requires: {what}.")
