"""Nobody can occupy all connections, neither with idle ones nor with unfinished requests."""

from __future__ import annotations

import select
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.robustness.conftest import Program, Start
from tests.robustness.raw import ask_health, eventually, read_all, status_and_error

ELSEWHERE = "127.0.0.2"  # on this machine, but not where the tunnel connects from
STREAM = b"GET /stream HTTP/1.0\r\nHost: localhost\r\n\r\n"


def connect(program: Program, source: str, data: bytes) -> socket.socket:
    connection = socket.create_connection(
        ("127.0.0.1", program.port), timeout=20, source_address=(source, 0)
    )
    connection.sendall(data)
    return connection


def unsent_bytes(program: Program) -> list[int]:
    """What the kernel still has to send on each of the server's connections, in order."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    ours = f"0100007F:{program.port:04X}"
    return [int(row[4].partition(":")[0], 16) for row in rows if row[1] == ours and row[3] == "01"]


def owner_is_served(program: Program, times: int = 20) -> bool:
    return all(program.request("/healthz", timeout_s=10)[0] == 200 for _ in range(times))


@pytest.mark.parametrize("source", [ELSEWHERE, "127.0.0.1"])
@pytest.mark.parametrize("begun", [b"G", b"", b"POST /login HTTP/1.1\r\nHost: x\r\n"
                         b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{"],
                         ids=["one byte", "nothing", "half a body"])  # fmt: skip
def test_requests_that_never_end_keep_nobody_out(start: Start, source: str, begun: bytes) -> None:
    program = start("sound", "--max-connections", "40").wait_until_healthy()
    with ExitStack() as stack:
        taken = [stack.enter_context(connect(program, source, begun)) for _ in range(120)]
        eventually(lambda: len(select.select(taken, (), (), 0)[0]) >= 80)  # closed, or refused
        assert owner_is_served(program)


def test_the_oldest_unfinished_request_is_dropped_before_idle_connections(start: Start) -> None:
    program = start("sound", "--max-connections", "8").wait_until_healthy()
    with ExitStack() as stack:
        idle = stack.enter_context(
            connect(program, "127.0.0.1", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        )
        assert b" 200 " in idle.recv(4096)
        begun = [stack.enter_context(connect(program, "127.0.0.1", b"")) for _ in range(7)]
        for connection in begun:  # accepted by the server, then an unfinished request
            assert b" 200 " in ask_health(connection)
            connection.sendall(b"G")
            for _ in range(2):  # at the second answer the server has read the G
                assert b" 200 " in ask_health(idle)
        assert program.request("/healthz")[0] == 200
        assert begun[0].recv(10) == b"", "the oldest made room"
        begun[-1].sendall(b"ET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert begun[-1].recv(12) == b"HTTP/1.1 200"
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(12) == b"HTTP/1.1 200"


def test_some_connections_are_reserved_for_this_machine(start: Start) -> None:
    program = start("sound", "--max-connections", "16").wait_until_healthy()
    with ExitStack() as stack:
        for _ in range(14):
            assert stack.enter_context(connect(program, ELSEWHERE, STREAM)).recv(12)
        refused = stack.enter_context(connect(program, ELSEWHERE, STREAM))
        status, error = status_and_error(read_all(refused))
        assert status == 503
        assert "MAX_CONNECTIONS" in error
        assert owner_is_served(program)
        assert b" 200 " in stack.enter_context(connect(program, "127.0.0.1", STREAM)).recv(100)


def test_a_remote_address_holds_a_limited_number_of_connections(start: Start) -> None:
    program = start("sound", "--max-connections-per-address", "3").wait_until_healthy()
    with ExitStack() as stack:
        held = [stack.enter_context(connect(program, ELSEWHERE, STREAM)) for _ in range(3)]
        for viewer in held:
            assert b" 200 " in viewer.recv(100)
        status, error = status_and_error(
            read_all(stack.enter_context(connect(program, ELSEWHERE, STREAM)))
        )
        assert status == 503
        assert "MAX_CONNECTIONS_PER_ADDRESS" in error
        for source in ("127.0.0.3", *["127.0.0.1"] * 5):
            assert b" 200 " in stack.enter_context(connect(program, source, STREAM)).recv(100)
        held[0].close()

        def has_room() -> bool:
            with connect(program, ELSEWHERE, STREAM) as viewer:
                return b" 200 " in viewer.recv(100)

        eventually(has_room)


def test_unread_answers_keep_nobody_out(start: Start) -> None:
    program = start("sound", "--max-connections", "12").wait_until_healthy()
    page = b"GET /page/page.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with ExitStack() as stack:
        for _ in range(12):
            deaf = stack.enter_context(socket.socket())
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.settimeout(20)
            deaf.connect(("127.0.0.1", program.port))
            deaf.sendall(page * 100)
        queues: list[list[int]] = [[], []]

        def all_are_stuck() -> bool:
            queues.append(unsent_bytes(program))
            return len(queues[-1]) == 12 and min(queues[-1]) > 0 and queues[-1] == queues[-2]

        eventually(all_are_stuck, step_s=0.2)
        assert owner_is_served(program, times=5)
