"""A viewer that stops reading or leaves, on the real server."""

from __future__ import annotations

import statistics
import threading
import time
from contextlib import suppress

import psutil
import pytest

from tests.robustness.conftest import Start
from tests.robustness.raw import eventually, open_stream
from tests.server import once_below


@pytest.mark.parametrize("reads_s", [0.0, 1.0], ids=["stalled", "a byte a second"])
def test_a_viewer_that_reads_nothing_is_dropped_and_others_are_not_affected(
    start: Start, reads_s: float
) -> None:
    program = start(
        "sound", "--dead-viewer-s", "3", environ={"PICTURE_BYTES": "30000"}
    ).wait_until_healthy()
    process = psutil.Process(program.process.pid)
    watching = threading.Event()
    seen: list[int] = []

    def was_dropped() -> bool:
        return b"turbostream_dead_viewers_total 1.0" in program.request("/metrics")[1]

    def watch() -> None:
        with open_stream(program.port) as viewer:
            while not watching.is_set():
                seen.append(viewer.recv(1 << 18).count(b"X-Frame-Id"))

    reader = threading.Thread(target=watch, name="another viewer")
    reader.start()
    try:
        eventually(lambda: sum(seen) > 30)
        assert not was_dropped()  # memory that the first such request takes is taken now
        rss, frames, painted = process.memory_info().rss, sum(seen), program.status()["frame"]
        with open_stream(program.port, receive_bytes=4096) as lame:
            started = time.monotonic()
            while not was_dropped():
                assert time.monotonic() - started < 60
                time.sleep(reads_s or 0.2)
                if reads_s:
                    lame.recv(1)
        got, made = sum(seen) - frames, program.status()["frame"] - painted
        assert got > 0.6 * made, "the other one gets what is painted"
        assert process.memory_info().rss - rss < 2e6
    finally:
        watching.set()
        reader.join()


@pytest.mark.parametrize("fps", ["60", "0.1"], ids=["while frames flow", "while nothing is sent"])
def test_a_viewer_that_leaves_is_noticed_at_once(start: Start, fps: str) -> None:
    program = start("sound", "--target-fps", fps).wait_until_healthy()

    def median_s() -> float:
        return statistics.median(seen_leaving_s() for _ in range(5))

    def seen_leaving_s() -> float:
        with open_stream(program.port) as viewer:
            eventually(lambda: program.status()["viewers"] == 1)
            viewer.recv(65536)
            if fps == "0.1":  # leave when nothing more is sent
                viewer.settimeout(0.3)
                with suppress(TimeoutError):
                    while viewer.recv(65536):
                        pass
        return eventually(lambda: program.status()["viewers"] == 0, step_s=0.005)

    once_below(0.2, median_s)
