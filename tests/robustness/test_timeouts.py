"""Requests and connections that take too long, on the real server."""

from __future__ import annotations

import socket
import time

import pytest

from tests.robustness.conftest import Program
from tests.robustness.raw import (
    HOST,
    ask_health,
    open_stream,
    read_all,
    status_and_error,
)


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> object:
    """A server that waits for nobody."""
    with Program("sound", tmp_path_factory.mktemp("state"), "--request-timeout-s", "1.5",
                 "--idle-timeout-s", "3") as running:  # fmt: skip
        yield running.wait_until_healthy()


def test_a_head_that_arrives_too_slowly_is_refused(hasty: Program) -> None:
    """Slowloris: the whole request has a time, not each byte."""
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=10) as connection:
        started, found = time.monotonic(), b""
        connection.settimeout(0.2)
        while not found and time.monotonic() - started < 30:
            try:
                connection.sendall(b"GET / HTTP/1.1\r\n"[:1] if found else b"X")
                found = connection.recv(1000)
            except TimeoutError:
                continue
        assert time.monotonic() - started > 1.0
        assert status_and_error(found)[0] == 408


def test_a_body_that_arrives_too_slowly_is_refused(hasty: Program) -> None:
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=9) as connection:
        connection.sendall(
            b"POST /prompt HTTP/1.1\r\n" + HOST
            + b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
        )  # fmt: skip
        found = read_all(connection)
        assert time.monotonic() - started > 1.0
        assert status_and_error(found)[0] == 408


def test_a_silent_connection_is_closed_without_a_word(hasty: Program) -> None:
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=9) as connection:
        assert connection.recv(10) == b""  # or a TimeoutError: by default it takes 10 s


def test_a_connection_is_kept_alive_and_closed_when_it_idles(hasty: Program) -> None:
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=30) as connection:
        for _ in range(3):
            started = time.monotonic()
            assert b" 200 " in ask_health(connection)
        assert connection.recv(10) == b""
        assert time.monotonic() - started > 2.0


def test_a_stream_outlives_the_time_of_a_request(hasty: Program) -> None:
    with open_stream(hasty.port) as viewer:
        until = time.monotonic() + 3
        while time.monotonic() < until:
            assert viewer.recv(65536)
