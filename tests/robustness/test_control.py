"""While a slider is dragged without pause, viewers keep their frames."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks.viewers import StreamReader, connect
from tests.robustness.conftest import Program, Start
from tests.robustness.meanwhile import meanwhile
from tests.server import once_below

WATCHED_S = 2.0


@contextmanager
def dragging(program: Program, rate: float) -> Iterator[None]:
    """`rate` changes a second over one connection meanwhile, as the page's slider sends them."""

    def run(over: threading.Event) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", program.port, timeout=30)
        count = 0
        while not over.wait(1 / rate):
            count += 1
            body = json.dumps({"speed": 0.1 + count % 10 / 10})
            connection.request("PATCH", "/scene", body, {"Content-Type": "application/json"})
            assert connection.getresponse().read()
        connection.close()

    with meanwhile("slider", run):
        yield


def frames_per_second(program: Program) -> float:
    """Distinct frames a second that a new viewer gets."""
    reader = StreamReader()
    with connect(program.port, "/stream") as viewer:
        viewer.settimeout(30)
        while not reader.frames:
            reader.take(memoryview(viewer.recv(1 << 16)))
        reader.frames.clear()
        began = time.monotonic()
        while (lasted_s := time.monotonic() - began) < WATCHED_S:
            reader.take(memoryview(viewer.recv(1 << 16)))
    return len(reader.frames) / lasted_s


@pytest.mark.parametrize("rate", [20, 60, 200])
def test_viewers_keep_their_frames_while_a_slider_is_dragged(start: Start, rate: float) -> None:
    program = start("takes-22-ms").wait_until_healthy()

    def lost() -> float:
        """The share of the frames that is lost to the dragging."""
        at_rest = frames_per_second(program)
        with dragging(program, rate):
            return 1 - frames_per_second(program) / at_rest

    once_below(0.2, lost)
    measured = program.status()["prompt_to_picture_ms"]
    assert 0 < measured["p50"] < 1000
