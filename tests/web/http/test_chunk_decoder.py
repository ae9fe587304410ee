"""Requests are read in one way, however their bytes are split."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import cycle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turbostream.web.http.chunk_decoder import ChunkDecoder
from turbostream.web.http.head import find_end, parse
from turbostream.web.http.limits import Refused

pieces = st.lists(st.binary(min_size=1, max_size=50), max_size=8)
cuts = st.lists(st.integers(1, 7), min_size=1, max_size=20)


def fed(body: bytes, steps: list[int]) -> tuple[bytes, bytes]:
    """(the decoded body, what follows it)."""
    chunks, found, place, count = ChunkDecoder(), b"", 0, 0
    while place < len(body) and not chunks.done:
        step = steps[count % len(steps)]
        found += chunks.feed(body[place : place + step])
        place, count = place + step, count + 1
    assert chunks.done
    return found, chunks.rest + body[place:]


@given(pieces, cuts, st.booleans(), st.booleans())
def test_a_body_is_the_same_however_it_is_cut(
    sent: list[bytes], steps: list[int], extended: bool, trailers: bool
) -> None:
    extension = b";a=b" if extended else b""
    body = b"".join(b"%X%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in sent)
    body += b"0" + extension + b"\r\n" + (b"A: b\r\n" if trailers else b"") + b"\r\nGET / HTTP"
    assert fed(body, steps) == (b"".join(sent), b"GET / HTTP")


@given(st.binary(max_size=80), cuts)
def test_any_bytes_are_refused_or_waited_for_never_a_crash(data: bytes, steps: list[int]) -> None:
    def codes() -> Iterator[int]:
        chunks, place = ChunkDecoder(), 0
        try:
            for step in cycle(steps):
                if place >= len(data) or chunks.done:
                    return
                chunks.feed(data[place : place + step])
                place += step
        except Refused as refused:
            yield refused.code

    assert set(codes()) <= {400}


def test_chunks_of_one_byte_cost_little() -> None:
    body = b"1\r\nx\r\n" * 60_000
    started = time.thread_time()
    chunks = ChunkDecoder()
    for place in range(0, len(body), 8192):
        chunks.feed(body[place : place + 8192])
    assert (time.thread_time() - started) / 60_000 < 20e-6


@given(st.binary(max_size=120), st.integers(1, 120))
def test_a_head_is_found_at_the_same_place_however_it_is_cut(data: bytes, step: int) -> None:
    def whole() -> int | str:
        try:
            return find_end(bytearray(data), 0, 10_000)
        except Refused as refused:
            return refused.sentence

    found: int | str = -1
    try:
        for place in range(0, len(data), step):
            upto = min(len(data), place + step)
            found = find_end(bytearray(data[:upto]), place, 10_000)
            if found >= 0:
                break
    except Refused as refused:
        found = refused.sentence
    assert found == whole()


@given(st.binary(max_size=200))
def test_any_head_is_read_or_refused(data: bytes) -> None:
    def answer() -> str:
        try:
            return parse(b"GET / HTTP/1.1\r\nHost: a\r\n" + data + b"\r\n\r\n", 32_768).target
        except Refused as refused:
            return refused.response()[:12].decode()

    assert answer() in ("/", "HTTP/1.1 400", "HTTP/1.1 431")


def test_the_head_says_what_the_connection_needs_to_know() -> None:
    head = parse(
        b"POST /a?b=c HTTP/1.1\r\nHost: a:1\r\nContent-Length: 7\r\nExpect: 100-continue\r\n\r\n",
        999,
    )
    assert (head.method, head.target, head.length, head.chunked) == ("POST", "/a?b=c", 7, False)
    assert head.keep_alive
    assert head.expects_continue
    assert not parse(b"GET / HTTP/1.0\r\n\r\n", 999).keep_alive
    assert parse(b"GET / HTTP/1.0\r\nConnection: x, Keep-Alive\r\n\r\n", 999).keep_alive


@pytest.mark.parametrize("most", [30, 31, 32])
def test_a_head_that_is_too_large_is_refused_before_it_ends(most: int) -> None:
    with pytest.raises(Refused) as refused:
        find_end(bytearray(b"GET / HTTP/1.1\r\nHost: a\r\nB: ccccccccccc"), 0, most)
    assert refused.value.code == 431
