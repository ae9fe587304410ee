"""Open files and memory of the real server."""

from __future__ import annotations

import resource
import socket
import time
from contextlib import ExitStack

import psutil

from tests.robustness.conftest import Program, Start
from tests.robustness.raw import HOST, eventually, open_stream
from tests.server import once_below


def counts(program: Program) -> tuple[int, int]:
    """(open descriptors, threads) of the server."""
    process = psutil.Process(program.process.pid)
    return process.num_fds(), process.num_threads()


def test_a_low_limit_on_open_files_is_logged_and_tolerated(start: Start) -> None:
    def few() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))

    program = start("sound", before=few).wait_until_healthy()
    assert "only 128 files may be open at once" in program.log
    with ExitStack() as stack:
        for _ in range(150):
            viewer = stack.enter_context(open_stream(program.port))
        assert viewer.recv(100), "the last one is answered, and they are accepted in order"
    eventually(program.is_healthy)
    assert "Traceback" not in program.log


def test_the_limit_on_open_files_is_raised_where_permitted(start: Start) -> None:
    def low() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 4096))

    program = start("sound", before=low).wait_until_healthy()
    assert "files may be open" not in program.log
    soft = psutil.Process(program.process.pid).rlimit(psutil.RLIMIT_NOFILE)[0]
    assert soft >= 2048


def test_running_out_of_descriptors_does_not_end_the_server(start: Start) -> None:
    program = start("sound").wait_until_healthy()
    process = psutil.Process(program.process.pid)
    process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds() + 3, 4096))
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(socket.create_connection(("127.0.0.1", program.port), timeout=30))
        program.wait_for_log("no new connection can be taken")
    process.rlimit(psutil.RLIMIT_NOFILE, (4096, 4096))
    eventually(program.is_healthy)
    assert "Traceback" not in program.log


def test_a_storm_of_connections_leaves_nothing_behind(start: Start) -> None:
    program = start("sound", "--max-viewers", "200", "--target-fps", "20").wait_until_healthy()

    health = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
    asked = (b"GET /stream HTTP/1.0\r\n" + HOST + b"\r\n", health, b"G", b"")

    def storm(answers: int) -> None:
        """A thousand connections, and gone: after the first `answers` answers, or abruptly."""
        with ExitStack() as stack:
            connections = [stack.enter_context(socket.socket()) for _ in range(1000)]
            for number, connection in enumerate(connections):
                connection.settimeout(60)
                connection.connect(("127.0.0.1", program.port))
                connection.sendall(asked[number % len(asked)])
            for connection in connections[: 4 * answers : 4]:
                assert connection.recv(1)

    def resident() -> int:
        eventually(lambda: program.status()["viewers"] == 0)
        time.sleep(0.3)
        return psutil.Process(program.process.pid).memory_info().rss

    for _ in range(4):  # all open at once, so that memory reaches its maximum
        storm(answers=250)
    resident()  # waits until all are gone
    before = counts(program)

    def growth() -> float:
        rss = resident()
        for _ in range(3):
            storm(answers=0)
            eventually(lambda: counts(program) <= before)
        return resident() / rss

    once_below(1.02, growth)
    assert program.request("/healthz")[0] == 200
    assert "Traceback" not in program.log
