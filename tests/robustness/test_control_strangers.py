"""Strangers at the control socket neither shut the owner out nor smuggle a request past a proxy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from websockets.exceptions import InvalidStatus

from tests.robustness.conftest import Program
from tests.robustness.controller import HANDSHAKE, Controller, http_visitor
from tests.robustness.raw import ask, eventually
from turbostream.web.auth.tokens import load_tokens
from turbostream.web.live.control_sockets import MOST, RESERVED

BODY = b'{"prompt": "smuggled"}'
SMUGGLED = (
    b"PATCH /scene HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with Program("sound", tmp_path_factory.mktemp("state")) as running:
        yield running.wait_until_healthy()


def test_watchers_and_links_to_a_channel_leave_places_for_the_owner(program: Program) -> None:
    assert program.state is not None
    tokens = load_tokens(program.state)
    guests = [http_visitor(token) for token in (tokens.watch, tokens.of_channel("main").owner)]
    with ExitStack() as stack:
        for number in range(MOST - RESERVED):
            stack.enter_context(Controller(program.port, guests[number % 2]))
        for guest in guests:
            with pytest.raises(InvalidStatus) as refused:
                stack.enter_context(Controller(program.port, guest))
        assert refused.value.response.status_code == 503
        sentence = json.loads(refused.value.response.body)["error"]
        assert sentence.startswith(f"{MOST - RESERVED} controllers are connected")
        owners = [stack.enter_context(Controller(program.port)) for _ in range(RESERVED)]
        assert owners[-1].ask(1, set={"speed": 0.5})["scene"]["speed"] == 0.5
        with pytest.raises(InvalidStatus) as refused:
            stack.enter_context(Controller(program.port))
        assert json.loads(refused.value.response.body)["error"].startswith(f"{MOST} controllers")
    eventually(lambda: program.status()["controllers"] == 0)


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"Version: 13", b"Version: 8", 426),
        (b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", b"", 400),
        (b"Connection: Upgrade\r\n", b"", 426),
        (b"GET /control", b"HEAD /control", 405),
        (b"GET /control", b"GET /nothing", 404),
        (b"GET /control", b"GET /healthz", 200),
        (b"Host: localhost", b"Host: evil.example", 401),
        (b"\r\n\r\n", b"\r\nOrigin: http://evil.example\r\n\r\n", 403),
    ],
)
def test_nothing_behind_a_declined_handshake_is_read_as_a_request(
    program: Program, old: bytes, new: bytes, status: int
) -> None:
    answer = ask(program.port, HANDSHAKE.replace(old, new) + SMUGGLED)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert program.status()["prompt"] != "smuggled"


def test_the_request_that_would_be_smuggled_is_one_that_works(program: Program) -> None:
    assert ask(program.port, SMUGGLED).startswith(b"HTTP/1.1 200 ")
    assert program.status()["prompt"] == "smuggled"
    program.request("/prompt", {"prompt": "grey"})
