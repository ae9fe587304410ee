"""A request has one interpretation or none: a malformed one is 400 and ends the connection."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator

import pytest

from tests.robustness.conftest import Program
from tests.robustness.raw import HOST, ask, read_all, status_and_error

PATIENCE_S = 30  # half of the request timeout: nothing here waits for that
JSON = b"Content-Type: application/json\r\n"
POST = b"POST /prompt HTTP/1.1\r\n" + HOST + JSON
CODED = POST + b"Transfer-Encoding: chunked\r\n"
CHUNKED = CODED + b"\r\n"
BODY = b'{"prompt": "smuggled"}'
CHUNK = b"%x\r\n%s\r\n" % (len(BODY), BODY)
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
GET = b"GET /scene HTTP/1.1\r\n" + HOST
WHOLE = POST + LENGTH + b"Connection: close\r\n\r\n" + BODY
SMUGGLED = POST + LENGTH + b"\r\n" + BODY

MALFORMED = {
    # where the body ends
    "two codings": CODED + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two codings, in two cases": CODED + b"transfer-encoding: Chunked\r\n\r\n0\r\n\r\n",
    "a coding twice in a list": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "another coding first": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "a coding with a tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a coding in HTTP/1.0": CODED.replace(b"1.1", b"1.0") + b"\r\n0\r\n\r\n",
    "a coding after a length": POST + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNK,
    "a length after a coding": CODED + LENGTH + b"\r\n" + CHUNK,
    "the same length twice": POST + LENGTH + LENGTH + b"\r\n" + BODY,
    "a list of lengths": POST + b"Content-Length: 22, 22\r\n\r\n" + BODY,
    "a length in hex": POST + b"Content-Length: 0x16\r\n\r\n" + BODY,
    "a length with a blank": POST + b"Content-Length: 2 2\r\n\r\n" + BODY,
    "an empty length": POST + b"Content-Length:\r\n\r\n" + BODY,
    # lines of the head
    "a blank in a name": GET + b"Bad Name: x\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
    "a blank after a name": POST + b"Content-Length : 22\r\n\r\n" + BODY,
    "no colon": GET + b"nothing\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
    "no name": GET + b": x\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
    "a bare CR": GET + b"A: b\rc\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
    "a NUL": GET + b"A: b\x00c\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
    "a line of mbox": GET + b"From me\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
    "a control character": GET + b"A: b\x01c\r\n\r\n",
    "DEL": GET + b"A: \x7f\r\n\r\n",
    "a folded line": GET + b"A: b\r\n c\r\n\r\n",
    "a fold at the start": b"GET /scene HTTP/1.1\r\n " + HOST + b"\r\n",
    "a bare LF": GET + b"A: b\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
    "an end of bare LFs": b"GET /scene HTTP/1.1\nHost: localhost\n\n",
    "a letter outside ASCII in a name": GET + b"N\xe4me: x\r\n\r\n",
    # the request line
    "HTTP/1.1.1": b"GET /scene HTTP/1.1.1\r\n" + HOST + b"\r\n",
    "HTTP/1.10": b"GET /scene HTTP/1.10\r\n" + HOST + b"\r\n",
    "HTTP/01.1": b"GET /scene HTTP/01.1\r\n" + HOST + b"\r\n",
    "HTTP/1.2": b"GET /scene HTTP/1.2\r\n" + HOST + b"\r\n",
    "http/1.1": b"GET /scene http/1.1\r\n" + HOST + b"\r\n",
    "tabs": b"GET\t/scene\tHTTP/1.1\r\n" + HOST + b"\r\n",
    "a tab before the version": b"GET /scene \tHTTP/1.1\r\n" + HOST + b"\r\n",
    "two blanks": b"GET  /scene HTTP/1.1\r\n" + HOST + b"\r\n",
    "a blank at the end": b"GET /scene HTTP/1.1 \r\n" + HOST + b"\r\n",
    "a blank in the address": b"GET /sc ene HTTP/1.1\r\n" + HOST + b"\r\n",
    "raw bytes in the query": b"GET /scene?\x80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "raw bytes in the path": b"GET /sc\xc3\xa4ne HTTP/1.1\r\n" + HOST + b"\r\n",
    "a fragment": b"GET /scene#x HTTP/1.1\r\n" + HOST + b"\r\n",
    "no slash": b"GET scene HTTP/1.1\r\n" + HOST + b"\r\n",
    "another host's address": b"GET http://evil.example/scene HTTP/1.1\r\n" + HOST + b"\r\n",
    "no host": b"GET /scene HTTP/1.1\r\n\r\n",
    "two hosts": GET + HOST + b"\r\n",
    "an invalid host": b"GET /scene HTTP/1.1\r\nHost: local host/x\r\n\r\n",
    # chunks
    "a signed length of a chunk": CHUNKED + b"+16\r\n" + BODY + b"\r\n0\r\n\r\n",
    "an underlined length": CHUNKED + b"1_6\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a chunk's length with 0x": CHUNKED + b"0x16\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a blank before it": CHUNKED + b" 16\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a blank after it": CHUNKED + b"16 \r\n" + BODY + b"\r\n0\r\n\r\n",
    "a length past all sense": CHUNKED + b"f" * 17 + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a bare LF after it": CHUNKED + b"16\n" + BODY + b"\r\n0\r\n\r\n",
    "a bare CR in an extension": CHUNKED + b"16;a\rb\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a bare LF after a chunk": CHUNKED + b"16\r\n" + BODY + b"\n0\r\n\r\n",
    "a chunk longer than it says": CHUNKED + b"15\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a trailer without a colon": CHUNKED + CHUNK + b"0\r\nnothing\r\n\r\n",
    "a folded trailer": CHUNKED + CHUNK + b"0\r\nA: b\r\n c\r\n\r\n",
    "a trailer after a bare LF": CHUNKED + CHUNK + b"0\r\nA: b\nC: d\r\n\r\n",
    "too many trailers": CHUNKED + CHUNK + b"0\r\n" + b"A: b\r\n" * 17 + b"\r\n",
    "a long trailer": CHUNKED + CHUNK + b"0\r\nA: " + b"b" * 2000 + b"\r\n\r\n",
    "long extensions": CHUNKED + (b"1;" + b"e" * 900 + b"\r\n \r\n") * 12 + CHUNK + b"0\r\n\r\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    options = ("--request-timeout-s", str(2 * PATIENCE_S))
    with Program("sound", tmp_path_factory.mktemp("state"), *options) as running:
        yield running.wait_until_healthy()


def words(program: Program) -> str:
    return str(json.loads(program.request("/scene")[1])["prompt"])


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_request_is_400_and_nothing_after_it_is_read(
    program: Program, request_bytes: bytes
) -> None:
    program.request("/prompt", {"prompt": "before"})
    answer = ask(program.port, request_bytes + SMUGGLED, timeout_s=PATIENCE_S)
    status, error = status_and_error(answer)
    assert status == 400
    assert error.endswith(".")
    assert answer.count(b"\r\n\r\n") == 1, "one answer"
    assert b"Connection: close" in answer
    assert words(program) == "before"
    assert "Traceback" not in program.log


def test_a_malformed_head_is_refused_before_it_is_complete(program: Program) -> None:
    with socket.create_connection(("127.0.0.1", program.port), timeout=PATIENCE_S) as connection:
        connection.sendall(b"GET /scene HTTP/1.1\nHost: localhost\n")
        assert status_and_error(read_all(connection))[0] == 400


def lines_of(answer: bytes) -> list[bytes]:
    return answer.partition(b"\r\n\r\n")[0].split(b"\r\n")


UPGRADE = POST + LENGTH + b"Connection: close, Upgrade\r\nUpgrade: "
CLOSING = CODED + b"Connection: close\r\n\r\n"
LAST = b"0\r\n\r\n"
EXTENDED = CHUNK.replace(b"\r\n", b";a=b\r\n", 1)
WELL_FORMED = {
    "an upgrade": UPGRADE + b"websocket\r\n\r\n" + BODY,
    "an upgrade to HTTP/2": UPGRADE + b"h2c\r\nHTTP2-Settings: AA\r\n\r\n" + BODY,
    "HTTP/1.0": WHOLE.replace(b"1.1", b"1.0").replace(b"Connection: close\r\n", b""),
    "an absolute address": WHOLE.replace(b"/prompt", b"http://localhost/prompt"),
    "an empty line before": b"\r\n" + WHOLE,
    "one chunk": CLOSING + CHUNK + LAST,
    "chunks of one byte": CLOSING + b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + LAST,
    "extensions and trailers": CLOSING + EXTENDED + b"000\r\nA: b\r\nC:\r\n\r\n",
    "no blank after a colon": WHOLE.replace(b"Content-Length: ", b"Content-Length:"),
    "names in capitals": WHOLE.replace(b"Content-Length", b"CONTENT-LENGTH"),
}  # fmt: skip


@pytest.mark.parametrize("request_bytes", WELL_FORMED.values(), ids=WELL_FORMED.keys())
def test_a_well_formed_request_is_answered_at_once(program: Program, request_bytes: bytes) -> None:
    program.request("/prompt", {"prompt": "before"})
    answer = ask(program.port, request_bytes, timeout_s=PATIENCE_S)
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert words(program) == "smuggled"


@pytest.mark.parametrize("option", [b"upgrade", b"upgrade\r\nUpgrade: websocket", b"Upgrade, x"])
def test_an_upgrade_request_is_answered_as_a_plain_request(program: Program, option: bytes) -> None:
    """nginx's recipe for web sockets sends this with every request."""
    program.request("/prompt", {"prompt": "before"})
    with socket.create_connection(("127.0.0.1", program.port), timeout=PATIENCE_S) as connection:
        for _ in range(2):
            request = POST + LENGTH + b"Connection: " + option + b"\r\n\r\n" + BODY
            connection.sendall(request)
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
    assert words(program) == "smuggled"


def test_pipelined_requests_are_answered_in_order(program: Program) -> None:
    paths = (b"/healthz", b"/nothing", b"/scene", b"/healthz")
    requests = [b"GET %s HTTP/1.1\r\n%s\r\n" % (path, HOST) for path in paths]
    answer = ask(program.port, b"".join(requests) + b"GET / HTTP/1.0\r\n" + HOST + b"\r\n")
    found = [piece[:3] for piece in answer.split(b"HTTP/1.1 ")[1:]]
    assert found == [b"200", b"404", b"200", b"200", b"200"]


def test_a_request_may_arrive_byte_by_byte(program: Program) -> None:
    with socket.create_connection(("127.0.0.1", program.port), timeout=PATIENCE_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"\r\n" + CLOSING + CHUNK + LAST:
            connection.send(bytes([byte]))
        assert read_all(connection).startswith(b"HTTP/1.1 200 ")


def test_100_continue_is_sent_only_when_the_body_is_wanted(
    program: Program,
) -> None:
    expecting = POST + LENGTH + b"Expect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", program.port), timeout=PATIENCE_S) as connection:
        connection.sendall(expecting)
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert connection.recv(12) == b"HTTP/1.1 200"
    answer = ask(program.port, expecting.replace(b"/prompt", b"/status"))
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert b"Connection: close" in answer
    answer = ask(program.port, expecting + BODY + b"GET / HTTP/1.0\r\n" + HOST + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 200 "), "its body is there: nothing is asked for"


@pytest.mark.parametrize("request_bytes", [
    b"POST /status HTTP/1.1\r\n" + HOST + LENGTH + b"\r\n" + SMUGGLED[: len(BODY)],
    b"POST /status HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
], ids=["a length", "chunks"])  # fmt: skip
def test_an_unread_body_is_not_parsed_as_requests(program: Program, request_bytes: bytes) -> None:
    program.request("/prompt", {"prompt": "before"})
    answer = ask(program.port, request_bytes + SMUGGLED)
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert words(program) == "before"


def test_a_head_request_gets_the_length_and_no_body(program: Program) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", program.port, timeout=PATIENCE_S)
    try:
        for path, status in (("/", 200), ("/page/page.js", 200), ("/nothing", 404)):
            connection.request("HEAD", path)
            answer = connection.getresponse()
            assert answer.status == status
            assert int(answer.headers["Content-Length"]) > 0
            assert answer.read() == b""
    finally:
        connection.close()
    answer = ask(program.port, b"HEAD /stream HTTP/1.1\r\n" + HOST + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n")


def test_an_http_1_0_client_may_keep_its_connection(program: Program) -> None:
    stays = b"GET /healthz HTTP/1.0\r\n" + HOST + b"Connection: keep-alive\r\n\r\n"
    answer = ask(program.port, stays + stays.replace(b"Connection: keep-alive\r\n", b""))
    first, second = answer.split(b"HTTP/1.1 ")[1:]
    assert b"Connection: keep-alive" in first
    assert b"Connection: close" in second


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_stream_comes_without_chunks_and_ends_with_its_connection(
    program: Program, version: bytes
) -> None:
    request = b"GET /stream HTTP/" + version + b"\r\n" + HOST + b"\r\n"
    with socket.create_connection(("127.0.0.1", program.port), timeout=PATIENCE_S) as viewer:
        viewer.sendall(request)
        head = b""
        while b"\r\n\r\n" not in head:
            head += viewer.recv(1000)
    assert b"Connection: close" in lines_of(head)
    assert b"chunked" not in head


CHUNKED_REST = b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program("sound", tmp_path_factory.mktemp("state"), "--request-timeout-s", "1") as running:
        yield running.wait_until_healthy()


@pytest.mark.parametrize(
    "rest",
    [b"Content-Length: 5\r\n\r\nhello", b"Content-Length: 5\r\n\r\nhe",
     b"Content-Length: 5\r\n\r\n", CHUNKED_REST + b"5\r\nhello\r\n0\r\n\r\n",
     CHUNKED_REST + b"5\r\nhe", CHUNKED_REST + b"nonsense",
     b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"],
    ids=["whole", "half", "missing", "chunks", "half a chunk", "no chunk", "asked for first"],
)  # fmt: skip
def test_a_stream_that_is_asked_for_with_a_body_outlives_the_time_of_a_request(
    hasty: Program, rest: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=PATIENCE_S) as viewer:
        viewer.sendall(b"GET /stream HTTP/1.1\r\n" + HOST + rest)
        found, until = viewer.recv(65536), time.monotonic() + 3
        assert found.startswith(b"HTTP/1.1 200 "), found
        while time.monotonic() < until:
            assert viewer.recv(65536), "the stream goes on"
