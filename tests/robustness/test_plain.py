"""Readers that never acknowledge: which frames they get, how old these are, who is dropped."""

from __future__ import annotations

import http.client
import signal
import socket
import statistics
import subprocess
import threading
import time
from argparse import Namespace
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.silent_readers import Row, read
from tests.robustness.conftest import Program, Start
from tests.robustness.raw import eventually, open_stream
from tests.server import once_below
from tests.web.reader import read_parts

SMALL, LARGE = {"PICTURE_BYTES": "3000"}, {"PICTURE_BYTES": "30000"}
FADED = {"PICTURE_BYTES": "60000", "SMALL_BYTES": "1500"}


def metric(program: Program, name: str) -> float:
    text = program.request("/metrics")[1].decode()
    line = next(line for line in text.splitlines() if line.startswith(f"turbostream_{name} "))
    return float(line.split()[1])


def arrivals(program: Program, query: str, seconds: float, agent: str) -> list[tuple[float, int]]:
    """(seconds from the first part, frame number) of each part."""
    found: list[tuple[float, int]] = []
    head = f"GET /stream{query} HTTP/1.0\r\nHost: localhost\r\nUser-Agent: {agent}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", program.port), timeout=30) as viewer:
        viewer.sendall(head.encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += viewer.recv(65536)
        head, _, begun = data.partition(b"\r\n\r\n")  # type: ignore[assignment]
        boundary = str(head).partition("boundary=")[2].partition("\\r\\n")[0]

        def chunks() -> Iterator[bytes]:
            yield begun
            while piece := viewer.recv(65536):
                yield piece

        for part in read_parts(chunks(), boundary):
            now = time.monotonic()
            first = found[0][0] if found else now
            if now - first > seconds:
                break
            found.append((now, part.number))
    return [(when - found[0][0], number) for when, number in found]


@pytest.mark.parametrize(("fps", "seconds", "parts"), [("2", 4.2, 9), ("0.5", 4.2, 3)])
def test_a_requested_rate_is_kept_and_each_part_is_a_new_frame(
    start: Start, fps: str, seconds: float, parts: int
) -> None:
    program = start("sound").wait_until_healthy()
    agents = ("curl/8.0", "Lavf/61.7.100", "python-requests/2.32")

    def frames(agent: str) -> list[int]:
        return [number for _, number in arrivals(program, f"?fps={fps}", seconds, agent)]

    def largest_difference() -> float:
        with ThreadPoolExecutor(len(agents)) as pool:  # at the same time: each waits for its frames
            seen = list(pool.map(frames, agents))
        assert [len(set(numbers)) for numbers in seen] == [len(numbers) for numbers in seen]
        return max(abs(len(numbers) - parts) for numbers in seen)

    once_below(2, largest_difference)


def test_a_browser_gets_each_frame_twice_because_it_paints_one_when_the_next_begins(
    start: Start,
) -> None:
    program = start("sound").wait_until_healthy()
    numbers = [number for _, number in arrivals(program, "?fps=2", 3.2, "Mozilla/5.0 (X11)")]
    assert len(numbers) >= 2 * len(set(numbers)) - 1


def test_a_still_picture_is_sent_again_every_second(start: Start) -> None:
    program = start("sound", "--target-fps", "0.1").wait_until_healthy()

    def missing() -> float:
        seen = arrivals(program, "", 5.2, "curl/8.0")
        assert len({number for _, number in seen}) <= 2
        return 5 - len(seen)

    once_below(1, missing)


@pytest.mark.parametrize("pictures", [SMALL, LARGE], ids=["3 KB", "30 KB"])
def test_slow_readers_see_new_pictures(start: Start, pictures: dict[str, str]) -> None:
    program = start("sound", environ=dict(pictures)).wait_until_healthy()

    def share_of_what_is_permitted(reads_s: float) -> float:
        row = Row("direct", 0, "slow")
        read(program.port, "", row, reads_s, 0.0, 14.0)
        late = [age for when, age in row.ages if when > 6]
        assert row.resets == 0
        assert late
        return max(
            0.8 * 8 * reads_s / len(late),
            statistics.median_high(late) / (3.5 / reads_s + 0.3),
            max(late) / (6 / reads_s + 0.3),
        )

    def largest_share() -> float:
        with ThreadPoolExecutor(2) as pool:  # at the same time: each mostly waits
            return max(pool.map(share_of_what_is_permitted, (2.0, 5.0)))

    once_below(1, largest_share)


def test_opencv_at_two_reads_a_second_is_neither_dropped_nor_far_behind(start: Start) -> None:
    cv2 = pytest.importorskip("cv2")
    program = start("sound", "--dead-viewer-s", "4", environ=SMALL).wait_until_healthy()
    capture = cv2.VideoCapture(f"http://127.0.0.1:{program.port}/stream", cv2.CAP_FFMPEG)
    try:
        for count in range(1, 29):
            read, picture = capture.read()
            assert read, f"cut off after {count} reads"
            assert picture is not None
            time.sleep(0.5)
        assert metric(program, "dead_viewers_total") == 0
        # Sent and not yet read; the buffers of a Linux system could hold eighty.
        assert metric(program, "parts_sent_total") - count < 14
    finally:
        capture.release()


@pytest.mark.parametrize("pictures", [SMALL, LARGE], ids=["3 KB", "30 KB"])
def test_a_stopped_reader_is_dropped(start: Start, pictures: dict[str, str]) -> None:
    """The kernel still acknowledges its packets; only the TCP window shows that nothing is read.

    Of two readers at the same time, as each takes a while: one of two frames a second, one of all.
    """
    # Without recipes, so that the pictures have their sizes.
    options = ("--dead-viewer-s", "3", "--recipes", "none")
    program = start("sound", *options, environ=dict(pictures)).wait_until_healthy()
    curls = []
    try:
        for query in ("?fps=2", ""):
            address = f"http://127.0.0.1:{program.port}/stream{query}"
            curls.append(subprocess.Popen(["curl", "-s", "-o", "/dev/null", address]))
            eventually(lambda: metric(program, "parts_sent_total") >= 4 * len(curls))
        for curl in curls:
            curl.send_signal(signal.SIGSTOP)
        assert eventually(lambda: metric(program, "dead_viewers_total") >= 1) > 2.5
        eventually(lambda: metric(program, "dead_viewers_total") == 2)
    finally:
        for curl in curls:
            curl.kill()
            curl.wait()


def test_a_reader_with_a_low_rate_is_not_dropped(start: Start) -> None:
    """Between two parts there is nothing to read, so a pause does not mean that it is dead."""
    program = start("sound", "--dead-viewer-s", "1.5", environ=SMALL).wait_until_healthy()
    seen = arrivals(program, "?fps=0.25", 9.0, "curl/8.0")
    assert len(seen) == 3
    assert metric(program, "dead_viewers_total") == 0


def test_pictures_that_become_small_do_not_stop_a_reader(start: Start) -> None:
    """As when the stage is faded to black."""
    program = start("sound", environ=FADED).wait_until_healthy()

    def missing() -> float:
        numbers, size = [], 0
        connection = http.client.HTTPConnection("127.0.0.1", program.port, timeout=30)
        connection.request("GET", "/stream")
        answer = connection.getresponse()
        end = time.monotonic() + 12
        while time.monotonic() < end:
            line = answer.readline()
            if line.startswith(b"Content-Length: "):
                size = int(line.split()[1])
            elif line.startswith(b"X-Frame-Id: "):
                numbers.append(int(line.split()[1]))
            elif line == b"\r\n" and size:
                answer.read(size)
                size = 0
        connection.close()
        return 1 - len(set(numbers)) / (numbers[-1] - numbers[0] + 1)

    once_below(0.4, missing)


def test_a_reader_that_was_slow_once_receives_every_frame_again(start: Start) -> None:
    program = start("sound", environ=LARGE).wait_until_healthy()
    stop, counts = threading.Event(), Namespace(frames=0)
    with open_stream(program.port) as viewer:

        def run() -> None:
            time.sleep(2)
            while not stop.is_set():
                counts.frames += viewer.recv(1 << 18).count(b"X-Frame-Id")

        thread = threading.Thread(target=run, name="viewer")
        thread.start()
        try:
            eventually(lambda: counts.frames > 60)
            before, painted = counts.frames, program.status()["frame"]
            eventually(lambda: program.status()["frame"] > painted + 120)
            share = (counts.frames - before) / (program.status()["frame"] - painted)
        finally:
            stop.set()
            thread.join()
    assert share > 0.9
