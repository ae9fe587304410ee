"""Control sockets that storm, flood, stall or break off: the stream and other controllers go on."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest
from websockets.frames import Opcode

from tests.robustness.conftest import Program, Start
from tests.robustness.controller import HANDSHAKE, PATIENCE_S, Controller, frame, shake_hands
from tests.robustness.raw import eventually
from tests.robustness.test_floods import Watcher, flooding, measured
from tests.server import once_below
from turbostream.web.live.control_sockets import MOST

DEAD_S = 1.0


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    options = ("--dead-viewer-s", str(DEAD_S), "--target-fps", "30", "--request-timeout-s", "2")
    with Program("sound", tmp_path_factory.mktemp("state"), *options) as running:
        yield running.wait_until_healthy()


def controllers(program: Program) -> int:
    return int(program.status()["controllers"])


def patch(number: int) -> bytes:
    return frame(Opcode.TEXT, b'{"patch": {"speed": %f}, "id": 1}' % (number % 400 / 100))


def test_of_200_controllers_at_once_64_stay_and_the_stream_keeps_its_rate(program: Program) -> None:
    def statuses() -> Counter[bytes]:
        found: Counter[bytes] = Counter()
        with ExitStack() as stack:
            opened = []
            for _ in range(200):
                one = socket.create_connection(("127.0.0.1", program.port), timeout=PATIENCE_S)
                opened.append(stack.enter_context(one))
                one.sendall(HANDSHAKE)
            found.update(one.recv(12)[-3:] for one in opened)
            assert controllers(program) == MOST
        eventually(lambda: controllers(program) == 0)
        return found

    watcher = Watcher(program.port)
    try:

        def lost() -> float:
            """The share of the frames of two seconds that is lost to a storm."""
            _, alone_fps = measured(program, watcher, 2.0)
            before, began = len(watcher.reader.frames), time.monotonic()
            assert statuses() == {b"101": MOST, b"503": 200 - MOST}
            measured(program, watcher, max(0.0, began + 2.0 - time.monotonic()))
            fps = (len(watcher.reader.frames) - before) / (time.monotonic() - began)
            return 1 - fps / alone_fps

        once_below(0.2, lost)
    finally:
        watcher.close()
    with Controller(program.port) as newcomer:  # the places are free again
        newcomer.state()


def test_a_controller_that_never_reads_is_dropped_and_delays_no_other(program: Program) -> None:
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with deaf, Controller(program.port) as other:
        deaf.connect(("127.0.0.1", program.port))
        deaf.sendall(HANDSHAKE)
        eventually(lambda: controllers(program) == 2)
        number, began = 0, time.monotonic()
        while controllers(program) == 2:
            number += 1
            sent = time.monotonic()
            other.ask(number, patch={"speed": number % 400 / 100})
            assert time.monotonic() - sent < 1.0
            assert time.monotonic() - began < PATIENCE_S


def test_answers_that_nobody_reads_take_little_memory(program: Program) -> None:
    process = psutil.Process(program.process.pid)
    with ExitStack() as stack:
        opened = [stack.enter_context(shake_hands(program.port)) for _ in range(8)]
        before = process.memory_info().rss
        for one in opened:
            one.settimeout(0.2)
            with pytest.raises(OSError, match="timed out|reset|Broken pipe"):
                one.sendall(patch(1) * 1_000_000)  # more than the system's buffers hold
        assert process.memory_info().rss - before < 30e6
        eventually(lambda: controllers(program) == 0)


def test_a_controller_that_answers_no_ping_is_dropped_and_one_that_does_stays(
    program: Program,
) -> None:
    with Controller(program.port) as alive, shake_hands(program.port) as silent:
        alive.state()
        silent.sendall(patch(1)[:7])  # half a frame
        while silent.recv(65536):
            pass
        assert "scene" in alive.ask(1, set={})
        assert controllers(program) == 1


BROKEN_OFF = {
    "half a handshake": HANDSHAKE[:60],
    "nothing after the handshake": HANDSHAKE,
    "half a header of a frame": HANDSHAKE + patch(1)[:1],
    "half a frame": HANDSHAKE + patch(1)[:-3],
    "half a message": HANDSHAKE + frame(Opcode.TEXT, b'{"set": ', fin=False),
    "a frame and a half": HANDSHAKE + patch(1) + patch(2)[:9],
}


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("data", BROKEN_OFF.values(), ids=BROKEN_OFF.keys())
def test_a_connection_may_break_off_anywhere(program: Program, data: bytes, reset: bool) -> None:
    with socket.create_connection(("127.0.0.1", program.port), timeout=PATIENCE_S) as connection:
        connection.sendall(data)
        if data.startswith(HANDSHAKE):
            assert connection.recv(12) == b"HTTP/1.1 101"
        if reset:
            linger = (1).to_bytes(4, "little") + bytes(4)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    eventually(lambda: controllers(program) == 0)
    assert "Traceback" not in program.log


def test_a_slow_handshake_is_completed_or_times_out_and_occupies_no_place(program: Program) -> None:
    with socket.create_connection(("127.0.0.1", program.port), timeout=PATIENCE_S) as connection:
        for byte in HANDSHAKE:
            connection.sendall(bytes([byte]))
        assert connection.recv(12) == b"HTTP/1.1 101"
    with socket.create_connection(("127.0.0.1", program.port), timeout=PATIENCE_S) as connection:
        connection.sendall(HANDSHAKE[:-2])
        assert controllers(program) <= 1
        assert connection.recv(12) == b"HTTP/1.1 408"


def test_a_stop_is_not_held_up_by_controllers_that_flood_or_do_not_read(start: Start) -> None:
    program = start("sound").wait_until_healthy()
    with ExitStack() as stack:
        opened = [stack.enter_context(shake_hands(program.port)) for _ in range(MOST)]
        for one in opened:
            one.settimeout(0)
            for number in range(2000):
                try:
                    one.send(patch(number))
                except BlockingIOError:
                    break
        assert program.ending_s() < 3.0
    assert "Traceback" not in program.log


def test_the_state_keeps_coming_while_another_controller_floods(program: Program) -> None:
    with (
        Controller(program.port) as reading,
        flooding(program.port, HANDSHAKE, patch(1) + patch(2)),
    ):
        began, revisions = time.monotonic(), []
        while time.monotonic() - began < 1.0:
            revisions.append(reading.receive()["revision"])
    assert revisions == sorted(set(revisions))
    assert len(revisions) > 5
