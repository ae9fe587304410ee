"""Time limits do not count while the process is stopped (laptop sleep, paused container)."""

from __future__ import annotations

import re
import signal
import time
from contextlib import suppress

from benchmarks.viewers import StreamReader
from tests.robustness.conftest import Program, Start
from tests.robustness.raw import eventually, open_stream


def stop_for(program: Program, seconds: float) -> None:
    program.signal(signal.SIGSTOP)
    time.sleep(seconds)
    program.signal(signal.SIGCONT)


def test_a_pause_longer_than_every_limit_ends_nothing_while_somebody_watches(start: Start) -> None:
    limits = ("--engine-timeout-s", "1", "--loading-timeout-s", "1", "--target-fps", "40")
    program = start("takes-22-ms", *limits).wait_until_healthy()
    with open_stream(program.port) as viewer:
        reader = StreamReader()

        def newest() -> int:
            reader.take(memoryview(viewer.recv(1 << 16)))
            return reader.frames[-1][0] if reader.frames else 0

        eventually(lambda: newest() > 20, step_s=0)
        stop_for(program, 8.0)
        assert program.request("/healthz")[0] == 200
        # 12 s of frames, more than the grace period of fuse.py after the pause
        seen = newest()
        eventually(lambda: newest() > seen + 480, limit_s=60.0, step_s=0)
    assert program.process.poll() is None
    assert "[watchdog]" not in program.log


def test_a_pause_of_a_resting_program_ends_nothing(start: Start) -> None:
    limits = ("--engine-timeout-s", "1", "--loading-timeout-s", "1")
    program = start("sound", *limits).wait_until_healthy()
    eventually(lambda: program.status()["state"] == "resting")
    stop_for(program, 3.0)
    assert program.request("/healthz")[0] == 200
    assert program.request("/snapshot.jpg")[0] == 200


def test_a_hanging_engine_is_found_after_a_pause_that_does_not_count(
    start: Start,
) -> None:
    limits = ("--engine-timeout-s", "3", "--loading-timeout-s", "3")
    program = start("hangs", *limits).wait_until_healthy()
    with open_stream(program.port):
        eventually(lambda: program.status()["frame"] >= 19)  # there it hangs
        stop_for(program, 5.0)
        went_on = time.monotonic()
        assert program.wait() == 70
    assert time.monotonic() - went_on > 0.5, "the rest of its time limit"
    found = re.search(r"has been painting one frame for (\d+) s", program.log)
    assert found is not None
    assert int(found[1]) < 5


def test_a_viewer_that_was_behind_before_a_pause_is_not_dropped(
    start: Start,
) -> None:
    """During the pause it reads what the kernel has buffered for it."""
    options = ("--dead-viewer-s", "3")
    program = start("sound", *options, environ={"PICTURE_BYTES": "100000"}).wait_until_healthy()
    reader, newest = StreamReader(), 0
    with open_stream(program.port, receive_bytes=65536) as viewer:
        before = program.status()["frame"]
        eventually(lambda: program.status()["frame"] > before + 60)  # its socket is full by then
        program.signal(signal.SIGSTOP)
        stopped = time.monotonic()
        viewer.settimeout(0.1)
        while time.monotonic() < stopped + 5.0:
            with suppress(TimeoutError):
                reader.take(memoryview(viewer.recv(1 << 16)))
        program.signal(signal.SIGCONT)
        viewer.settimeout(30)
        later = program.status()["frame"]
        while newest <= later:
            data = viewer.recv(1 << 16)
            assert data, "the stream ended"
            reader.take(memoryview(data))
            newest = reader.frames[-1][0] if reader.frames else 0
    assert b"turbostream_dead_viewers_total 0.0" in program.request("/metrics")[1]
