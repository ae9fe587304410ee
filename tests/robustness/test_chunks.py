"""Malformed chunked bodies: one answer each, at once, and no traceback in the log."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from tests.robustness.conftest import Program, Start
from tests.robustness.raw import ask

HEAD = (
    b"%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
NO_LENGTH = (b"\r\n", b";\r\n", b";name=value\r\n", b"2\r\n{}\r\n\r\n")
PATIENCE_S = 60


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    options = ("--request-timeout-s", str(PATIENCE_S))
    with Program("sound", tmp_path_factory.mktemp("state"), *options) as running:
        yield running.wait_until_healthy()


@pytest.mark.parametrize("body", NO_LENGTH)
@pytest.mark.parametrize(
    ("method", "path", "status"), [(b"POST", b"/prompt", 400), (b"POST", b"/status", 405)]
)
def test_a_chunk_without_a_length_is_refused_at_once(
    program: Program, method: bytes, path: bytes, status: int, body: bytes
) -> None:
    started = time.monotonic()
    answer = ask(program.port, HEAD % (method, path) + body)
    assert time.monotonic() - started < PATIENCE_S / 2
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert "Traceback" not in program.log


def test_a_body_that_never_arrives_is_not_answered_twice(start: Start) -> None:
    program = start("sound", "--request-timeout-s", "1.5").wait_until_healthy()
    with socket.create_connection(("127.0.0.1", program.port), timeout=30) as connection:
        connection.sendall(HEAD % (b"POST", b"/status") + b"5\r\nhel")
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert answer.count(b"HTTP/1.1 ") == 1
