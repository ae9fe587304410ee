"""One client that never stops sending hardly affects the viewers and other clients."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from websockets.frames import Opcode

from benchmarks.viewers import StreamReader
from tests.robustness.conftest import Program, Start
from tests.robustness.controller import HANDSHAKE, frame
from tests.robustness.raw import open_stream
from tests.server import ROOT

FPS = 30
MEASURED_S = 3.0
ATTEMPTS = 3  # other work can delay this machine for a second
OWNER, STRANGER = b"Host: localhost\r\n", b"Host: stranger.example\r\n"
CHUNKED = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
LOGIN = b"POST /login HTTP/1.1\r\n" + STRANGER + CHUNKED
TINY = b"1\r\nx\r\n" * 3000
EXPECTING = (
    b"POST /login HTTP/1.1\r\n" + STRANGER + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}"
)

# Sent once on each connection, and then repeated
FLOODS = {
    "raw bytes in a query": (b"", b"GET /?\x80 HTTP/1.1\r\n" + STRANGER + b"\r\n"),
    "chunks to a refused POST": (b"POST /prompt HTTP/1.1\r\n" + STRANGER + CHUNKED, TINY),
    "chunks to /login": (LOGIN, TINY),
    "chunks to the owner's prompt": (b"POST /prompt HTTP/1.1\r\n" + OWNER + CHUNKED, TINY),
    "trailers": (LOGIN + b"0\r\n", b"X-More: trailer\r\n" * 1000),
    "extensions": (LOGIN, b"1;" + b"e" * 900 + b"\r\nx\r\n"),
    "the owner's pipeline": (b"", b"GET /healthz HTTP/1.1\r\n" + OWNER + b"\r\n"),
    "the owner's HEADs": (b"", b"HEAD / HTTP/1.1\r\n" + OWNER + b"\r\n"),
    "a stranger's pipeline": (b"", b"GET /status HTTP/1.1\r\n" + STRANGER + b"\r\n"),
    "expectations": (b"", EXPECTING),
    "empty lines": (b"", b"\r\n" * 1000),
    "sets": (HANDSHAKE, frame(Opcode.TEXT, b'{"set": {"speed": 1}}')),
    "sets with ids": (HANDSHAKE, frame(Opcode.TEXT, b'{"set": {"speed": 1}, "id": 1}')),
    "patches": (HANDSHAKE, frame(Opcode.TEXT, b'{"patch": {"speed": 1}, "id": 1}')),
    "messages that are not JSON": (HANDSHAKE, frame(Opcode.TEXT, b"[" * 60_000)),
    "pings": (HANDSHAKE, frame(Opcode.PING, b"")),
    "empty fragments": (
        HANDSHAKE + frame(Opcode.TEXT, b"", fin=False), frame(Opcode.CONT, b"", fin=False)
    ),
    "a message over the limit": (HANDSHAKE, frame(Opcode.TEXT, b" " * 2**17)),
}  # fmt: skip


@contextmanager
def flooding(port: int, opening: bytes, more: bytes) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.robustness.flooder", str(port)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with process.stdin as given:
            json.dump([opening.decode("latin-1"), more.decode("latin-1")], given)
        assert process.stdout.readline() == "flooding\n"
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class Watcher:
    """A viewer that checks the framing, on its own thread."""

    def __init__(self, port: int) -> None:
        self.reader = StreamReader()
        self._socket = open_stream(port)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        buffer = bytearray(1 << 16)
        with suppress(OSError):
            while count := self._socket.recv_into(buffer):
                self.reader.take(memoryview(buffer)[:count])

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()


def measured(program: Program, watcher: Watcher, seconds: float) -> tuple[float, float]:
    """(slowest /healthz in s, frames a second at a viewer)."""
    slowest_s, before, started = 0.0, len(watcher.reader.frames), time.monotonic()
    while (now := time.monotonic()) - started < seconds:
        assert program.request("/healthz", timeout_s=60)[0] == 200
        slowest_s = max(slowest_s, time.monotonic() - now)
        time.sleep(0.02)
    return slowest_s, (len(watcher.reader.frames) - before) / (time.monotonic() - started)


def beside(program: Program, opening: bytes, more: bytes) -> tuple[float, float, float]:
    """(slowest /healthz in s, share of the frames without a flood, s from SIGTERM to the end)."""
    watcher = Watcher(program.port)
    try:
        _, alone_fps = measured(program, watcher, MEASURED_S / 2)
        with flooding(program.port, opening, more):
            time.sleep(0.3)
            slowest_s, fps = measured(program, watcher, MEASURED_S)
            return slowest_s, fps / alone_fps, program.ending_s()
    finally:
        watcher.close()


@pytest.mark.parametrize(("opening", "more"), FLOODS.values(), ids=FLOODS.keys())
def test_a_flood_delays_others_by_less_than_a_second_and_costs_less_than_a_fifth_of_their_frames(
    start: Start, opening: bytes, more: bytes
) -> None:
    found = []
    for _ in range(ATTEMPTS):
        program = start("sound", "--target-fps", str(FPS)).wait_until_healthy()
        slowest_s, share, ending_s = beside(program, opening, more)
        found.append((slowest_s, share, ending_s))
        assert "Traceback" not in program.log
        if slowest_s < 1.0 and share > 0.8 and ending_s < 3.0:
            return
    pytest.fail(f"(slowest /healthz, share of frames, SIGTERM to end): {found}")


@pytest.mark.parametrize("rest", [b"0\r\n" + b"A: b\r\n" * 100, b"1\r\nx\r\n" * 70_000],
                         ids=["trailers", "a body past its limit"])  # fmt: skip
def test_an_endless_body_is_refused_before_the_request_times_out(start: Start, rest: bytes) -> None:
    program = start("sound", "--request-timeout-s", "60").wait_until_healthy()
    with socket.create_connection(("127.0.0.1", program.port), timeout=20) as connection:
        connection.sendall(LOGIN)
        connection.sendall(rest)
        assert connection.recv(12) in (b"HTTP/1.1 400", b"HTTP/1.1 413")


def test_a_request_times_out_although_its_body_never_pauses(start: Start) -> None:
    program = start(
        "sound", "--request-timeout-s", "1", "--max-body-bytes", str(2**30)
    ).wait_until_healthy()
    with socket.create_connection(("127.0.0.1", program.port), timeout=20) as connection:
        connection.sendall(LOGIN.replace(b"stranger.example", b"localhost"))
        started = time.monotonic()
        connection.settimeout(0.5)
        with suppress(OSError):
            while time.monotonic() - started < 15:
                connection.sendall(TINY)
        assert time.monotonic() - started < 10
