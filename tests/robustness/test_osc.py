"""OSC datagrams to the running server: how long one takes, and what a flood costs the viewers."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.report import percentile
from benchmarks.viewers import StreamReader, connect
from tests.control.sending import bundle, message, send
from tests.ports import free_port
from tests.robustness.conftest import Start
from tests.robustness.meanwhile import meanwhile
from tests.server import once_below

FLOOD_PER_S = 10_000
FLOOD_S = 3.0


def scene(connection: http.client.HTTPConnection) -> dict[str, object]:
    connection.request("GET", "/scene")
    found: dict[str, object] = json.load(connection.getresponse())
    return found


def test_a_message_is_in_force_within_50_ms(start: Start) -> None:
    port = free_port()
    program = start("sound", "--osc-port", str(port)).wait_until_healthy()

    def p95_ms() -> float:
        connection = http.client.HTTPConnection("127.0.0.1", program.port, timeout=30)
        taken = []
        for number in range(100):
            brightness = (500 + number) / 1000
            began = time.perf_counter()
            send(port, message("/brightness", ("f", brightness)))
            while scene(connection)["brightness"] != brightness:
                assert time.perf_counter() - began < 10
            taken.append((time.perf_counter() - began) * 1000)
        connection.close()
        print(f"message to GET /scene: p95 {percentile(taken, 0.95):.1f} ms")
        return percentile(taken, 0.95)

    once_below(50.0, p95_ms)


@contextmanager
def flooding(port: int, *datagrams: bytes) -> Iterator[None]:
    """FLOOD_PER_S datagrams a second meanwhile."""

    def run(over: threading.Event) -> None:
        due = time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not over.wait(max(0.0, due - time.monotonic())):
                due += 0.01
                for number in range(FLOOD_PER_S // 100):
                    sender.sendto(datagrams[number % len(datagrams)], ("127.0.0.1", port))

    with meanwhile("flood", run):
        yield


def frames_per_second(port: int) -> float:
    reader = StreamReader()
    with connect(port, "/stream") as viewer:
        viewer.settimeout(30)
        began = time.monotonic()
        while (lasted_s := time.monotonic() - began) < FLOOD_S:
            reader.take(memoryview(viewer.recv(1 << 16)))
    return len(reader.frames) / lasted_s


GOOD = [message("/speed", ("f", number / 100)) for number in range(50)]
BAD = [message("/speed", ("s", "fast")), message("/undo"), b"\0" * 200, bundle(*GOOD)[:-3]]


@pytest.mark.parametrize("datagrams", [GOOD, [*GOOD, *BAD]], ids=["good", "good-and-bad"])
def test_a_flood_leaves_viewers_their_frames(start: Start, datagrams: list[bytes]) -> None:
    port = free_port()
    program = start("takes-22-ms", "--osc-port", str(port)).wait_until_healthy()

    def lost() -> float:
        at_rest = frames_per_second(program.port)
        with flooding(port, *datagrams):
            flooded = frames_per_second(program.port)
        print(f"{at_rest:.1f} frames/s at rest, {flooded:.1f} in the flood")
        return 1 - flooded / at_rest

    once_below(0.3, lost)
    send(port, message("/brightness", ("f", 0.25)))
    deadline = time.monotonic() + 30
    while program.status()["scene"]["brightness"] != 0.25:
        assert time.monotonic() < deadline
    assert program.log.count("[osc] ") < 10


def test_the_largest_datagrams_harm_nobody(start: Start) -> None:
    port = free_port()
    program = start("sound", "--osc-port", str(port)).wait_until_healthy()
    for _ in range(50):
        send(port, b"\xff" * 65_000, message("/prompt", ("s", "x" * 65_000)), bundle(*GOOD * 60))
    send(port, message("/brightness", ("f", 0.25)))
    deadline = time.monotonic() + 30
    while program.status()["scene"]["brightness"] != 0.25:
        assert time.monotonic() < deadline
        send(port, message("/brightness", ("f", 0.25)))  # the first may not have fitted
    assert program.ending_s() < 5


def test_a_taken_port_ends_the_start_with_one_sentence(start: Start) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        program = start("sound", "--osc-port", str(port))
        assert program.wait(60) == 2
    assert program.log == (
        f"OSC cannot be received at 127.0.0.1:{port} (Address already in use); stop the program "
        "that does, or give another OSC_PORT."
    )
