"""More viewers or connections than the settings allow, on the real server."""

from __future__ import annotations

import json
import os
import socket
import statistics
import time
from contextlib import ExitStack
from pathlib import Path

from tests.robustness.conftest import Start
from tests.robustness.raw import (
    HOST,
    ask,
    ask_health,
    eventually,
    open_stream,
    status_and_error,
)
from tests.server import once_below


def test_one_viewer_too_many_is_refused_and_everything_else_still_answers(start: Start) -> None:
    program = start("sound", "--max-viewers", "5").wait_until_healthy()
    with ExitStack() as stack:
        for _ in range(5):
            viewer = stack.enter_context(open_stream(program.port))
            assert viewer.recv(100)
        status, error = status_and_error(
            ask(program.port, b"GET /stream HTTP/1.0\r\n" + HOST + b"\r\n")
        )
        assert status == 503
        assert "MAX_VIEWERS" in error
        for path, body in (("/healthz", None), ("/prompt", {"prompt": "x"})):

            def answer_s(path: str = path, body: object = body) -> float:
                started = time.monotonic()
                assert program.request(path, body)[0] == 200
                return time.monotonic() - started

            once_below(0.05, lambda ask=answer_s: statistics.median(ask() for _ in range(50)))  # type: ignore[misc]


def test_a_viewer_can_connect_as_soon_as_another_has_left(start: Start) -> None:
    options = ("--max-viewers", "1", "--dead-viewer-s", "60")
    program = start("sound", *options).wait_until_healthy()
    for _ in range(5):
        with open_stream(program.port) as viewer:
            assert b" 200 " in viewer.recv(100)
        eventually(lambda: program.status()["viewers"] == 0, step_s=0.01)


def test_a_new_connection_takes_the_place_of_the_one_that_has_idled_longest(start: Start) -> None:
    program = start("sound", "--max-connections", "8").wait_until_healthy()
    with ExitStack() as stack:
        idle = [
            stack.enter_context(socket.create_connection(("127.0.0.1", program.port), timeout=30))
            for _ in range(8)
        ]
        for connection in idle:  # accepted by the server, and idle from now on
            assert b" 200 " in ask_health(connection)
        assert program.request("/healthz")[0] == 200
        assert idle[0].recv(10) == b"", "the first one was dropped"
        assert b" 200 " in ask_health(idle[-1]), "the last one is still there"


def test_one_connection_too_many_is_refused_with_a_sentence(start: Start) -> None:
    program = start("sound", "--max-connections", "8").wait_until_healthy()
    with ExitStack() as stack:
        for _ in range(8):
            assert stack.enter_context(open_stream(program.port)).recv(100)
        status, error = status_and_error(ask(program.port, b"GET / HTTP/1.0\r\n" + HOST + b"\r\n"))
        assert status == 503
        assert "MAX_CONNECTIONS" in error


def test_viewers_never_block_the_owners_prompt(start: Start) -> None:
    program = start("sound", environ={"PICTURE_BYTES": "30000"}).wait_until_healthy()
    with ExitStack() as stack:
        for _ in range(50):  # none of them reads
            stack.enter_context(open_stream(program.port))
        status, answer = program.request("/prompt", {"prompt": "new"})
        assert status == 200
        assert json.loads(answer)["prompt"] == "new"


def test_the_state_folder_holds_nothing_that_others_can_read(start: Start) -> None:
    program = start("sound").wait_until_healthy()
    assert isinstance(program.state, Path)
    for path in (program.state, *program.state.iterdir()):
        assert os.stat(path).st_mode & 0o077 == 0
