"""The parts parser, in the browser: the same parts however the network cuts the bytes."""

from __future__ import annotations

import base64

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.browser

READ = """async ({bytes, cuts}) => {
    const {PartReader, BadStream} = await import('/page/reader.js');
    const text = (array) => btoa(String.fromCharCode(...array));
    const all = Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0));
    const parts = [];
    const keep = ({headers, body}) => parts.push([headers['x-frame-id'], text(body)]);
    const reader = new PartReader(keep);
    try {
        let from = 0;
        for (const to of [...cuts, all.length]) {
            reader.push(all.subarray(from, to));
            from = to;
        }
    } catch (error) {
        return error instanceof BadStream ? 'bad' : String(error);
    }
    return {parts, ended: reader.ended};
}"""
BODIES = st.lists(st.binary(max_size=300) | st.just(b"\r\n--b\r\n\r\n--b--"), max_size=6)


@pytest.fixture
def read(desk):
    """Reads bytes, cut at the given places, with the page's own parser."""
    page = desk.window()
    page.goto(desk.server.url + "/?clean")

    def parse(stream, cuts=()):
        known = {"bytes": base64.b64encode(stream).decode(), "cuts": sorted(cuts)}
        return page.evaluate(READ, known)

    return parse


def written(bodies):
    """A stream as the server writes it, the next boundary after each picture."""
    head = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\nX-Frame-Id: %d\r\n\r\n"
    parts = (head % (len(body), i) + body + b"\r\n--b\r\n" for i, body in enumerate(bodies))
    return b"--b\r\n" + b"".join(parts)


def expected(bodies):
    return [[str(i), base64.b64encode(body).decode()] for i, body in enumerate(bodies)]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(bodies=BODIES, data=st.data())
def test_any_cutting_gives_the_same_parts(read, bodies, data):
    stream = written(bodies)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=30))
    assert read(stream, cuts) == {"parts": expected(bodies), "ended": False}


def test_one_byte_at_a_time_gives_the_same_parts(read):
    bodies = [b"one", b"", b"\r\n--b\r\n", bytes(range(256))]
    stream = written(bodies)
    assert read(stream, range(len(stream)))["parts"] == expected(bodies)


def test_the_closing_boundary_ends_the_stream(read):
    stream = written([b"one"])[:-2] + b"--\r\nwhatever comes after"
    assert read(stream) == {"parts": expected([b"one"]), "ended": True}


@pytest.mark.parametrize(
    "stream",
    [
        b"<html>not a stream</html>\n",
        b"--b\r\nContent-Type: image/jpeg\r\n\r\n",
        b"--b\r\nContent-Length: -1\r\n\r\n",
        b"--b\r\nContent-Length: 999999999\r\n\r\n",
        b"--b\r\nno colon\r\n",
        b"--b\r\nContent-Length: 1\r\n\r\nxy\r\n--b\r\n",
        b"--b\r\n" + b"x" * 9000,
    ],
)
def test_what_is_not_the_stream_is_refused(read, stream):
    assert read(stream) == "bad"


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=5))
def test_no_bytes_break_the_parser_in_another_way(read, junk, cuts):
    stream = b"--b\r\n" + junk
    answer = read(stream, [cut for cut in cuts if cut <= len(stream)])
    assert answer == "bad" or isinstance(answer, dict)


def test_a_large_picture_in_small_chunks_is_read_in_time_that_grows_with_its_size(desk):
    page = desk.open()
    spent_ms = page.evaluate("""async () => {
        const {PartReader} = await import('/page/reader.js');
        const body = new Uint8Array(16e6);
        const head = new TextEncoder().encode('--b\\r\\nContent-Length: 16000000\\r\\n\\r\\n');
        let got = 0;
        const reader = new PartReader((part) => { got = part.body.length; });
        const begun = performance.now();
        reader.push(head);
        for (let at = 0; at < body.length; at += 1000) reader.push(body.subarray(at, at + 1000));
        return got === body.length ? performance.now() - begun : Infinity;
    }""")
    assert spent_ms < 1000
