"""Words that look like the framing of the stream, while a strict viewer reads it."""

from __future__ import annotations

from itertools import cycle, islice

from benchmarks.viewers import StreamReader
from tests.robustness.conftest import Start
from tests.robustness.raw import open_stream

HEAD = "Content-Type: image/jpeg\r\nContent-Length: 5\r\nX-Frame-Id: 1\r\n\r\n"


def test_words_that_look_like_the_framing_do_not_change_it(start: Start) -> None:
    program = start("sound", "--target-fps", "200").wait_until_healthy()
    reader, accepted = StreamReader(), 0
    with open_stream(program.port) as viewer:

        def read() -> bytes:
            data = viewer.recv(1 << 20)
            assert data, "the stream goes on"
            reader.take(memoryview(data))  # raises Torn
            return data

        boundary = read().partition(b"boundary=")[2].partition(b"\r\n")[0].decode()
        mark = f"--{boundary}"
        alike = (mark, f"{mark}--", f"\r\n{mark}\r\n", f"a\r\n{mark}\r\n{HEAD}b", HEAD, "\r\n\r\n")
        for words in islice(cycle(alike), 300):
            status, _ = program.request("/prompt", {"prompt": words})
            assert status in (200, 400)
            accepted += status == 200
            read()
        while len(reader.frames) <= 100:
            read()
    assert accepted >= 100, "and some of them are words like any other"
