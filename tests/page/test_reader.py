"""The page's parser of multipart streams: the same parts however the network cuts the bytes.

It is compared with a simple parser of the whole stream, written here, on streams that Hypothesis
makes of valid parts, damaged ones and random bytes. FUZZ_EXAMPLES sets how many.
"""

from __future__ import annotations

import base64
import os
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.browser

MAX_LINE, MAX_PART = 8192, 64 * 1024 * 1024  # as in reader.js
BLANK = "\t\n\v\f\r \xa0"  # what JavaScript trims, of the first 256 characters
READ = """async ({bytes, cuts}) => {
    const {PartReader, BadStream} = await import('/page/reader.js');
    const text = (array) => btoa(String.fromCharCode(...array));
    const all = Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0));
    const parts = [];
    const keep = ({headers, body}) => parts.push([headers['x-frame-id'] ?? null, text(body)]);
    const reader = new PartReader(keep);
    try {
        let from = 0;
        for (const to of [...cuts, all.length]) {
            reader.push(all.subarray(from, to));
            from = to;
        }
    } catch (error) {
        return {parts, then: error instanceof BadStream ? 'bad' : String(error)};
    }
    return {parts, then: reader.ended ? 'ended' : 'more'};
}"""

BODIES = st.lists(st.binary(max_size=300) | st.just(b"\r\n--b\r\n\r\n--b--"), max_size=6)
HEADS = st.lists(
    st.sampled_from(
        (b"Content-Type: image/jpeg", b"X-Frame-Id: 7", b"x-frame-ID:8", b"__proto__: 1", b"a:")
    ),
    max_size=3,
)
ENDS = st.sampled_from((b"\r\n", b"\n"))
RUBBISH = st.sampled_from(
    (
        *(b"--b\r\n", b"--b--\r\n", b"--b--", b"--\r\n", b"--bb\n", b"null--\r\n", b"undefined\n"),
        *(b"Content-Length: 3\r\n", b"content-length:0\n", b"Content-Length: 2, 2\r\n", b"\r\r\n"),
        *(b"Content-Length: -1\r\n", b"Content-Length: 67108865\r\n", b": x\r\n", b"\xff: \xa0\n"),
        *(b"\r\n", b"\n", b"\r", b"x" * MAX_LINE, b"\0"),
    )
)


@st.composite
def part(draw):
    """A valid part and the boundary after it."""
    end, body = draw(ENDS), draw(st.binary(max_size=40) | st.just(b"\r\n--b\r\n"))
    head = [*draw(HEADS), b"Content-Length: %d" % len(body), *draw(HEADS)]
    return end.join([*head, b"", body]) + end + b"--b" + end


STREAMS = st.tuples(
    st.sampled_from((b"--b\r\n", b"--b\n", b"\r\n--b\n", b"")),
    st.lists(part() | part() | RUBBISH | st.binary(max_size=20), max_size=8).map(b"".join),
).map(b"".join)


@pytest.fixture
def read(desk):
    """Reads bytes, cut at the given places, with the page's own parser."""
    page = desk.window()
    page.goto(desk.server.url + "/?clean")

    def parse(stream, cuts=()):
        known = {"bytes": base64.b64encode(stream).decode(), "cuts": sorted(cuts)}
        answer = page.evaluate(READ, known)
        return answer["parts"], answer["then"]

    return parse


def read_whole(stream):
    """The parts of the whole stream, and how it goes on: (parts, "bad", "ended" or "more")."""
    parts, boundary, headers = [], None, None
    while stream:
        raw, newline, stream = stream.partition(b"\n")
        if len(raw) > MAX_LINE:
            return parts, "bad"
        if not newline:
            break
        line = raw.removesuffix(b"\r").decode("latin-1")
        if headers is None:
            if boundary is None and line.startswith("--"):
                boundary = line
            if line and line == boundary:
                headers = {}
            elif boundary and line == boundary + "--":
                return parts, "ended"
            elif line:
                return parts, "bad"
        elif line:
            name, colon, value = line.partition(":")
            if not (name and colon):
                return parts, "bad"
            headers[name.strip(BLANK).lower()] = value.strip(BLANK)
        else:
            length = headers.get("content-length", "")
            if not re.fullmatch("[0-9]{1,9}", length) or int(length) > MAX_PART:
                return parts, "bad"
            body, stream = stream[: int(length)], stream[int(length) :]
            if len(body) < int(length):
                break
            frame = headers.get("x-frame-id")
            parts.append([frame, base64.b64encode(body).decode()])
            headers = None
    return parts, "more"


def written(bodies):
    """A stream as the server writes it, with the next boundary after each picture."""
    head = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\nX-Frame-Id: %d\r\n\r\n"
    parts = (head % (len(body), i) + body + b"\r\n--b\r\n" for i, body in enumerate(bodies))
    return b"--b\r\n" + b"".join(parts)


def expected(bodies):
    return [[str(i), base64.b64encode(body).decode()] for i, body in enumerate(bodies)]


@settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "2000")) // 8,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(stream=STREAMS, data=st.data())
def test_any_bytes_in_any_pieces_are_read_like_the_whole(read, stream, data):
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
    assert read(stream, cuts) == read_whole(stream)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(bodies=BODIES, data=st.data())
def test_the_parts_do_not_depend_on_how_the_stream_is_cut(read, bodies, data):
    stream = written(bodies)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=30))
    assert read(stream, cuts) == (expected(bodies), "more")


def test_one_byte_at_a_time_gives_the_same_parts(read):
    bodies = [b"one", b"", b"\r\n--b\r\n", bytes(range(256))]
    stream = written(bodies)
    assert read(stream, range(len(stream))) == (expected(bodies), "more")


def test_the_closing_boundary_ends_the_stream(read):
    stream = written([b"one"])[:-2] + b"--\r\nwhatever comes after"
    assert read(stream) == (expected([b"one"]), "ended")


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
def test_a_malformed_stream_is_refused(read, stream):
    assert read(stream)[1] == "bad"


def test_reading_a_large_picture_in_small_chunks_takes_linear_time(desk):
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
    assert spent_ms < 5000, "a copy of all that came so far for each chunk takes many times that"
