"""Faults of the engine and the machine: the server recovers or ends with a clear status."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.viewers import StreamReader
from tests.robustness.conftest import Start
from tests.robustness.program import MAY_LOAD
from tests.robustness.raw import eventually, open_stream
from tests.server import ROOT, once_below


def test_one_bad_frame_is_counted_and_the_next_one_comes(start: Start) -> None:
    program = start("once").wait_until_healthy()
    with open_stream(program.port) as viewer:
        eventually(lambda: viewer.recv(65536) and program.status()["frame"] > 60, step_s=0)
        status = program.status()
        assert status["failed_frames"] == 1
        assert status["state"] == "streaming"
        assert program.request("/healthz")[0] == 200
    program.signal()
    assert program.wait() == 0
    assert program.log.count("one bad frame") == 2, "a sentence and its traceback, once"


def test_ten_bad_frames_are_logged_once_and_the_engine_is_opened_again(start: Start) -> None:
    program = start("ten").wait_until_healthy()
    with open_stream(program.port) as viewer:
        eventually(lambda: program.request("/healthz")[0] == 503, step_s=0.01)
        eventually(lambda: viewer.recv(65536) and program.status()["frame"] > 60, step_s=0)
        assert program.status()["failed_frames"] == 10
        assert program.request("/healthz")[0] == 200
    program.signal()
    assert program.wait() == 0
    assert program.log.count("Traceback") == 1
    assert program.log.count("[gen] starting loop...") == 3


def test_frames_that_keep_failing_are_shown_as_a_picture_that_says_why(start: Start) -> None:
    program = start("for-ever").wait_until_healthy()
    with open_stream(program.port) as viewer:
        eventually(lambda: program.status()["state"] == "failed")

        def says_why() -> bool:
            status, body = program.request("/healthz")
            return status == 503 and b"nothing but bad frames" in body

        eventually(says_why)  # not true while a new engine is being opened
        eventually(lambda: b"X-Frame-Id: 0\r\n" in viewer.recv(1 << 20), step_s=0)
    assert program.request("/snapshot.jpg")[0] == 503
    assert program.request("/prompt", {"prompt": "still"})[0] == 200
    program.signal()
    assert program.wait() == 0


def test_running_out_of_gpu_memory_is_logged_and_does_not_end_the_stream(start: Start) -> None:
    program = start("memory").wait_until_healthy()
    with open_stream(program.port) as viewer:
        eventually(lambda: viewer.recv(65536) and program.status()["frame"] > 60, step_s=0)
    program.wait_for_log("CUDA out of memory")
    assert program.request("/healthz")[0] == 200


def test_a_model_that_does_not_load_is_tried_again(start: Start) -> None:
    program = start("loads-badly").wait_until_listening()
    assert program.request("/healthz")[0] == 503
    program.wait_for_log("it does not load yet")
    assert program.state is not None
    (program.state / MAY_LOAD).touch()
    program.wait_until_healthy()


def test_an_engine_that_hangs_ends_the_program_with_70_and_its_stacks(start: Start) -> None:
    program = start("hangs", "--engine-timeout-s", "1.5").wait_until_healthy()
    with open_stream(program.port):
        assert program.wait() == 70
    assert "[watchdog] The engine has been painting one frame for" in program.log
    assert "tests/robustness/program.py" in program.log, "the stack names where it hangs"
    assert "in _finish_oldest" in program.log or "in started" in program.log


def test_a_preview_that_hangs_while_nobody_watches_ends_the_program_too(start: Start) -> None:
    program = start("hangs", "--engine-timeout-s", "1.5").wait_until_healthy()
    with contextlib.suppress(OSError):  # the program ends before it answers
        for _ in range(25):
            program.request("/preview", {})
    assert program.wait() == 70
    assert "[watchdog] The engine has been painting one frame for" in program.log


def test_an_engine_that_never_finishes_loading_ends_the_program_with_70(start: Start) -> None:
    program = start("loads-for-ever", "--loading-timeout-s", "1")
    assert program.wait() == 70
    assert "has been loading" in program.log


def test_a_hang_that_holds_the_gil_ends_the_program_too(start: Start) -> None:
    limits = ("--engine-timeout-s", "3", "--loading-timeout-s", "3")
    program = start("holds-the-gil", *limits).wait_until_healthy()
    with open_stream(program.port):
        assert program.wait(60.0) == -signal.SIGALRM
    assert "in _hold_the_gil" in program.log


def test_a_slow_engine_within_its_time_limit_is_not_ended(start: Start) -> None:
    program = start("sound", "--target-fps", "0.2", "--engine-timeout-s", "2").wait_until_healthy()
    with open_stream(program.port) as viewer:
        reader = StreamReader()

        def numbers() -> set[int]:
            reader.take(memoryview(viewer.recv(65536)))
            return {number for number, _, _ in reader.frames}

        eventually(lambda: len(numbers()) > 1, step_s=0)  # 5 s apart, more than the time limit
    assert program.process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize(
    "mode", ["sound", "loads-for-ever", "loads-badly", "for-ever", "streaming", "hangs"]
)
def test_a_signal_ends_the_program_in_every_state_within_three_seconds(
    start: Start, mode: str, number: signal.Signals
) -> None:
    def attempt() -> float:
        program = start("sound" if mode == "streaming" else mode).wait_until_listening()
        with ExitStack() as viewers:
            if mode in ("streaming", "for-ever", "hangs"):
                program.wait_until_healthy()
                for _ in range(10):
                    viewers.enter_context(open_stream(program.port))
                if mode == "for-ever":
                    eventually(lambda: program.status()["state"] == "failed")
                else:
                    eventually(lambda: program.status()["frame"] >= 19)  # there it hangs
            took = program.ending_s(number)
        if mode in ("sound", "streaming"):
            assert "Traceback" not in program.log
        return took

    once_below(3.0, attempt)


def test_a_hundred_viewers_do_not_delay_the_shutdown(start: Start) -> None:
    def attempt() -> float:
        program = start("sound", environ={"PICTURE_BYTES": "30000"}).wait_until_healthy()
        with ExitStack() as viewers:
            for _ in range(100):
                viewers.enter_context(open_stream(program.port))
            eventually(lambda: program.status()["viewers"] == 100)
            return program.ending_s()

    once_below(3.0, attempt)


def test_a_signal_that_nohup_ignores_stays_ignored(start: Start) -> None:
    program = start(before=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    program.wait_until_healthy()
    with open_stream(program.port) as viewer:
        program.signal(signal.SIGHUP)
        reader = StreamReader()
        while len(reader.frames) < 120:  # 2 s; a shutdown would end the stream at once
            data = viewer.recv(65536)
            assert data, "the stream goes on"
            reader.take(memoryview(data))
    assert program.process.poll() is None


def test_a_second_server_on_the_port_says_so_and_the_first_goes_on(start: Start) -> None:
    first = start("sound").wait_until_healthy()
    second = start("sound", port=first.port)
    assert second.wait() == 2
    assert second.log.count("\n") == 0
    assert f"127.0.0.1:{first.port} (Address already in use); stop the program" in second.log
    assert first.request("/healthz")[0] == 200


def test_a_full_disk_under_the_log_changes_nothing_for_the_viewers(start: Start) -> None:
    with open("/dev/full", "w") as full:
        program = start("once", stderr=full).wait_until_healthy()
        with open_stream(program.port) as viewer:
            eventually(lambda: viewer.recv(65536) and program.status()["frame"] > 60, step_s=0)
            assert program.request("/prompt", {"prompt": "x" * 900})[0] == 200
        program.signal()
        assert program.wait() == 0


def test_a_log_whose_reader_is_gone_changes_nothing_for_the_viewers(start: Start) -> None:
    reading, writing = os.pipe()
    program = start("once", stderr=writing)
    os.close(writing)
    os.close(reading)
    program.wait_until_healthy()
    with open_stream(program.port) as viewer:
        eventually(lambda: viewer.recv(65536) and program.status()["frame"] > 60, step_s=0)
    program.signal()
    assert program.wait() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be somebody without a name")
def test_without_a_home_the_program_runs_and_says_that_tokens_end_with_it(start: Start) -> None:
    def nobody_with_no_name() -> None:
        os.setgid(54321)
        os.setuid(54321)

    python = Path(sys.executable).resolve()
    if not os.access(python, os.X_OK) or str(python).startswith("/root"):
        program = start("sound", state=None, environ={"HOME": None})  # for root only
        program.wait_until_healthy()
        return
    program = start("sound", state=None, environ={"HOME": None}, before=nobody_with_no_name)
    program.wait_until_healthy()
    assert "end with this run" in program.log


def test_a_read_only_state_folder_is_logged_and_tolerated(start: Start) -> None:
    program = start("sound", state=Path("/proc/nowhere")).wait_until_healthy()
    assert "end with this run" in program.log


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="mounts need root")
def test_it_runs_from_a_read_only_checkout(tmp_path: Path) -> None:
    script = (
        f"mount --bind {ROOT} {ROOT} && mount -o remount,bind,ro {ROOT} && cd {ROOT} && "
        f"! touch {ROOT}/written 2>/dev/null && "
        f"exec {sys.executable} -m tests.robustness.program sound --server-port 0 "
        f"--state-dir {tmp_path}"
    )
    process = subprocess.Popen(
        ["unshare", "--mount", "bash", "-c", script], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "[gen] starting loop" in line:
                break
        assert any("running on" in line for line in lines), lines
    finally:
        process.terminate()
        assert process.wait(30) == 0
        process.stderr.close()


def test_jumps_of_the_wall_clock_stop_nothing(start: Start, tmp_path: Path) -> None:
    """The wall clock only stamps frames; pace, limits and the watchdog go by the monotonic one."""
    program = start("clock-jumps", "--engine-timeout-s", "5").wait_until_healthy()
    with open_stream(program.port) as viewer:
        reader = StreamReader()

        def jumps() -> list[bool]:
            """Forward? for each."""
            reader.take(memoryview(viewer.recv(65536)))
            stamps = [stamp for _, stamp, _ in reader.frames]
            steps = [later - earlier for earlier, later in pairwise(stamps)]
            return [step > 0 for step in steps if abs(step) > 3000]

        eventually(lambda: jumps() == [False, True, False], step_s=0)
    assert program.request("/healthz")[0] == 200
