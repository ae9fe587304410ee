"""A request that cannot be read gets one sentence and the right status."""

from __future__ import annotations

import socket

import pytest

from tests.robustness.conftest import Program
from tests.robustness.raw import HOST, read_all, status_and_error

GET, POST = b"GET / HTTP/1.1\r\n" + HOST, b"POST /prompt HTTP/1.1\r\n" + HOST
MANY = b"".join(b"X%d: y\r\n" % n for n in range(150))
CHUNKED = b"Transfer-Encoding: chunked\r\n"
JSON = b"Content-Type: application/json\r\n"
UNREADABLE = {
    "long head": (GET + b"X: " + b"y" * 40_000 + b"\r\n\r\n", 431, "32,768 bytes"),
    "many headers": (GET + MANY + b"\r\n", 431, "100 lines"),
    "long address": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "8,192"),
    "long body": (POST + b"Content-Length: 70000\r\n\r\n", 413, "65,536"),
    "nonsense": (b"nonsense\r\n\r\n", 400, "not an HTTP request"),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400, "HTTP/1.0 and HTTP/1.1"),
    "HTTP/3": (b"GET / HTTP/3.0\r\n" + HOST + b"\r\n", 400, "not an HTTP request"),
    "two lengths": (
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400, "Content-Length"
    ),
    "signed length": (POST + b"Content-Length: +5\r\n\r\nhello", 400, "Content-Length"),
    "two framings": (POST + CHUNKED + b"Content-Length: 6\r\n\r\n0\r\n\r\n", 400, "Transfer-Enc"),
    "unknown coding": (POST + b"Transfer-Encoding: gzip\r\n\r\n", 400, "Transfer-Encoding"),
    "bad chunk": (POST + JSON + CHUNKED + b"\r\nzz\r\nGET / HTTP/1.1\r\n\r\n", 400, "sent"),
    "raw bytes in the query": (b"GET /stream?\x80 HTTP/1.1\r\n" + HOST + b"\r\n", 400, "escaped"),
    "cut head": (b"GET /status HTTP/1.1\r\nHo", 400, "within the head"),
}  # fmt: skip


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> object:
    with Program("sound", tmp_path_factory.mktemp("state")) as running:
        yield running.wait_until_healthy()


@pytest.mark.parametrize(
    ("request_bytes", "status", "words"), UNREADABLE.values(), ids=UNREADABLE.keys()
)
def test_an_unreadable_request_gets_one_sentence(
    program: Program, request_bytes: bytes, status: int, words: str
) -> None:
    with socket.create_connection(("127.0.0.1", program.port), timeout=10) as connection:
        connection.sendall(request_bytes)
        connection.shutdown(socket.SHUT_WR)
        found, error = status_and_error(read_all(connection))
    assert found == status
    assert words in error
    assert "Traceback" not in program.log
