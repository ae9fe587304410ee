"""The limits of a chunked body, each at its exact value."""

from __future__ import annotations

import pytest

from turbostream.web.http.chunk_decoder import (
    LONGEST_LINE,
    MOST_EXTRA_BYTES,
    MOST_TRAILERS,
    ChunkDecoder,
)
from turbostream.web.http.limits import Refused

LAST = b"0\r\n"
END = b"\r\n"
TRAILER = b"A: b\r\n"


def status(body: bytes) -> int:
    """200, or the status with which the body is refused; 0 if more of it is expected."""
    chunks = ChunkDecoder()
    try:
        chunks.feed(body)
    except Refused as refused:
        return refused.code
    return 200 if chunks.done else 0


def trailer(length: int) -> bytes:
    return b"A: " + b"b" * (length - 5) + b"\r\n"


def extended(length: int) -> bytes:
    """A chunk of one byte whose extension has so many bytes."""
    return b"1;" + b"e" * (length - 1) + b"\r\nx\r\n"


@pytest.mark.parametrize("count", [0, 1, MOST_TRAILERS, MOST_TRAILERS + 1])
def test_a_body_has_a_limited_number_of_trailers(count: int) -> None:
    assert status(LAST + TRAILER * count + END) == (200 if count <= MOST_TRAILERS else 400)


@pytest.mark.parametrize("length", [LONGEST_LINE, LONGEST_LINE + 1])
def test_a_line_has_a_limited_length(length: int) -> None:
    assert status(LAST + trailer(length) + END) == (200 if length <= LONGEST_LINE else 400)


def test_an_unfinished_line_that_is_too_long_is_refused_at_once() -> None:
    chunks = ChunkDecoder()
    assert chunks.feed(b"1;" + b"e" * (LONGEST_LINE - 3)) == b""
    with pytest.raises(Refused):
        chunks.feed(b"e")


@pytest.mark.parametrize("over", [0, 1])
def test_extensions_and_trailers_have_a_limited_sum(over: int) -> None:
    body = extended(512) * (MOST_EXTRA_BYTES // 512 - 1) + LAST + trailer(512 + over) + END
    assert status(body) == (400 if over else 200)


@pytest.mark.parametrize(("size", "expected"), [(b"00000001", 200), (b"000000001", 400)])
def test_a_length_has_at_most_eight_digits(size: bytes, expected: int) -> None:
    assert status(size + b"\r\nx\r\n" + LAST + END) == expected
