"""Random requests to the running server: no 500, no hang, no leak.

FUZZ_EXAMPLES sets how many; `make fuzz` sends many. Each fault that was found has its own test.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from collections import Counter
from collections.abc import Iterator
from urllib.parse import quote

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.robustness.conftest import Program
from tests.robustness.raw import eventually

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "400"))
ROUTES = (
    "/", "/stream", "/snapshot.jpg", "/prompt", "/scene", "/preview", "/status", "/metrics",
    "/healthz", "/login", "/guard/extend", "/stream/x/shown", "/recipe", "/frames/1/shot",
    "/undo", "/redo", "/looks", "/looks/a", "/looks/a/recall", "/looks/a/thumbnail.jpg",
    "/setlist", "/setlist/next", "/mappings", "/export", "/import", "/page/page.js",
    "/page/../app.py", "/control", "/source", "/source.jpg", "/nothing",
    "/channels", "/channels/a", "/stream?channel=a", "/scene?channel=main",
)  # fmt: skip
METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "X")
NAMES = (
    "Host", "Content-Type", "Content-Length", "Transfer-Encoding", "Cookie", "Authorization",
    "Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode", "X-Forwarded-For", "Accept", "Expect", "Upgrade",
    "Connection", "Range", "If-None-Match", "If-Modified-Since", "Referer", "X_Odd",
    "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Sec-WebSocket-Protocol", "",
)  # fmt: skip
VALUES = (
    "localhost", "127.0.0.1:1", "evil.example", "[::1", "application/json", "text/html",
    "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "chunked", "0", "5",
    "99999999999999999999", "-1", "1e3", "100-continue", "websocket", "upgrade", "keep-alive",
    "Bearer x", "Bearer", "Basic Og==", "turbostream=owner.x.y", "turbostream_1=", "null",
    "same-origin", "cross-site", "bytes=0-", "bytes=9-1", "*", "gzip;q=x", "13",
    "A" * 22 + "==", "\xff\xfe", "a" * 3000,
)  # fmt: skip

DEEP = b"<deep>"  # replaced by deep nesting, which would fill a report

# Most requests are well formed: a malformed head is 400, whatever else the request holds.
FRAMING = ("Host", "Content-Length", "Transfer-Encoding", "")
junk = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=40)
values = st.one_of(st.sampled_from(VALUES), junk)
printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40)
plain_headers = st.tuples(
    st.sampled_from([name for name in NAMES if name not in FRAMING]),
    st.one_of(st.sampled_from(VALUES), printable),
)
headers = st.one_of(
    st.lists(plain_headers, max_size=6),
    st.lists(plain_headers, max_size=6),
    st.lists(st.tuples(st.one_of(st.sampled_from(NAMES), junk), values), max_size=6),
)
queries = st.one_of(
    st.just(""),
    st.sampled_from(("?fps=1", "?fps=nan", "?fps=-1", "?fps=1e400", "?channel=x", "?%", "?a&b&&=")),
    junk.map(lambda text: "?" + quote(text, safe="&=+;", encoding="latin-1")),
    junk.map(lambda text: "?" + text.replace(" ", "+")),
)
paths = st.one_of(
    st.sampled_from(ROUTES),
    st.tuples(st.sampled_from(ROUTES), junk).map(
        lambda pair: pair[0] + quote(pair[1], encoding="latin-1")
    ),
    st.tuples(st.sampled_from(ROUTES), junk).map(
        lambda pair: pair[0] + pair[1].replace(" ", "%20")
    ),
    junk.map(lambda text: "/" + text.replace(" ", "/")),
)
plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner)
    ),
    max_leaves=8,
)
fields = st.dictionaries(
    st.sampled_from(("prompt", "motion", "speed", "seed", "frame", "token", "x")), plain, max_size=3
)
bodies = st.one_of(
    st.just(b""),
    st.binary(max_size=300),
    st.one_of(plain, fields).map(lambda value: json.dumps(value).encode()),
    fields.map(lambda value: json.dumps(value).encode("utf-16")),
    st.just(DEEP),
    st.just(b"prompt=%ff"),
    st.lists(
        st.sampled_from((b"5\r\nhello\r\n", b"0\r\n\r\n", b"\r\n", b";", b"f" * 16)), max_size=4
    ).map(b"".join),
)
seen: Counter[int] = Counter()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    options = ("--request-timeout-s", "0.3", "--idle-timeout-s", "0.5", "--target-fps", "100")
    with Program("sound", tmp_path_factory.mktemp("state"), *options) as running:
        running.wait_until_healthy()
        process = psutil.Process(running.process.pid)
        for _ in range(200):
            exchange(running, b"GET /status HTTP/1.0\r\nHost: localhost\r\n\r\n")
        files, memory = process.num_fds(), process.memory_info().rss
        yield running
        print("\nanswers by status:", dict(sorted(seen.items())), "in all", sum(seen.values()))
        assert running.process.poll() is None
        eventually(lambda: process.num_fds() <= files + 1)
        assert process.memory_info().rss < memory * 1.1 + 5e6
        _, traceback, rest = running.log.partition("Traceback")
        assert not traceback, rest[:3000]


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server with long time limits, so that its answers are about the request."""
    with Program("sound", tmp_path_factory.mktemp("state")) as running:
        yield running.wait_until_healthy()


def exchange(program: Program, data: bytes) -> bytes:
    """The answer, or the beginning of a stream; fails if the connection never ends."""
    with socket.create_connection(("127.0.0.1", program.port), timeout=20) as connection:
        found = b""
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while len(found) < 60_000 and (piece := connection.recv(65536)):
                found += piece
        except OSError as error:
            if error.errno not in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN):
                raise  # above all a timeout: nothing may hang
        return found


def check(answer: bytes) -> None:
    if not answer:
        seen[0] += 1
        return  # closed without an answer: not a request, or too late
    head, _, body = answer.partition(b"\r\n\r\n")
    line = head.split(b"\r\n")[0]
    assert line.startswith(b"HTTP/1.1 "), answer[:200]
    status = int(line.split()[1])
    seen[status] += 1
    assert status < 500 or status == 503, answer[:500]
    if status >= 400 and b"application/json" in head and body.startswith(b"{"):
        shape, _ = json.JSONDecoder().raw_decode(body.decode())
        assert shape["status"] == "error"
        assert shape["error"].strip()


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
@given(st.sampled_from(METHODS), paths, queries, headers, bodies, st.sampled_from("sslncw"))
def test_no_request_causes_a_server_error(
    program: Program,
    method: str,
    path: str,
    query: str,
    extra: list[tuple[str, str]],
    body: bytes,
    length: str,
) -> None:
    lines = [f"{method} {path}{query} HTTP/1.1"]
    if length != "n":
        lines += ["Host: localhost"]
    if length == "s":
        lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"]
    elif length == "l":
        lines += [f"Content-Length: {len(body) + 7}"]
    elif length == "c":
        lines += ["Transfer-Encoding: chunked", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in extra]
    body = b"[" * 30_000 if body == DEEP else body
    head = "\r\n".join([*lines, "Connection: close", "", ""])
    check(exchange(program, head.encode("latin-1") + body))


@settings(max_examples=EXAMPLES // 4, deadline=None, database=None,
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from(
    (b"GET / HTTP/1.1\r\n", b"Host: localhost\r\n", b"\r\n", b"\r\n\r\n", b"\n", b"\x00", b" ",
     b"Transfer-Encoding: chunked\r\n", b"ffffffffff\r\n", b"0\r\n\r\n",
     b"POST /prompt HTTP/1.0\r\n"))
), max_size=12).map(b"".join))  # fmt: skip
def test_any_bytes_are_answered_or_end_the_connection(program: Program, data: bytes) -> None:
    check(exchange(program, data))


def scene_of(program: Program) -> dict[str, object]:
    """The scene, without the phase and the beat, which move."""
    found: dict[str, object] = json.loads(program.request("/scene")[1])
    return {name: found[name] for name in found if name not in ("phase", "beat")}


@settings(max_examples=EXAMPLES // 8, deadline=None, database=None,
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(plain, fields)
def test_a_body_that_is_refused_leaves_the_scene_as_it_was(
    patient: Program, one: object, other: object
) -> None:
    for path, method, body in (
        ("/prompt", "POST", one), ("/scene", "PATCH", other), ("/preview", "POST", other),
    ):  # fmt: skip
        before = scene_of(patient)
        status, _ = patient.request(path, body, method)
        assert status in (200, 400, 415)
        if status >= 400 or path == "/preview":
            assert scene_of(patient) == before
