"""A slow, full or unread log never blocks the server, and it reports lost lines."""

from __future__ import annotations

import os
import re
from contextlib import suppress

from tests.robustness.conftest import Program, Start
from tests.robustness.raw import eventually, open_stream
from tests.server import once_below

WORDS = "x" * 900


def unread(start: Start) -> tuple[Program, int]:
    """A program whose stderr is a pipe that nobody reads, and the reading end of it."""
    reading, writing = os.pipe()
    program = start("sound", stderr=writing)
    os.close(writing)
    return program.wait_until_healthy(), reading  # type: ignore[return-value]


def prompts(program: Program, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        status, _ = program.request("/prompt", {"prompt": f"{number} {WORDS}"}, timeout_s=10)
        assert status == 200


def test_an_unread_log_blocks_nothing_and_is_in_order_when_it_is_read(
    start: Start,
) -> None:
    program, reading = unread(start)
    try:
        prompts(program, 600)  # three lines each, a pipe holds some 60
        with open_stream(program.port) as viewer:
            assert viewer.recv(100)
        os.set_blocking(reading, False)
        log = bytearray()

        def read() -> bytes:
            with suppress(BlockingIOError):
                log.extend(os.read(reading, 1 << 20))
            return bytes(log)

        def says_what_is_missing() -> bool:
            prompts(program, 1, first=1000)  # a line for which there is room again
            return b"lines are missing" in read()

        eventually(says_what_is_missing)
        missing = re.search(rb"\[log\] (\d+) lines are missing here", log)
        assert missing is not None
        assert int(missing[1]) > 500
        found = [int(number) for number in re.findall(rb"Successfully set to: (\d+) ", log)]
        assert found == sorted(found)
        assert found[:100] == list(range(100)), "what the queue held is there"
    finally:
        os.close(reading)


def test_a_signal_ends_a_program_whose_log_nobody_reads(start: Start) -> None:
    def ending_s() -> float:
        program, reading = unread(start)
        try:
            prompts(program, 100)
            return program.ending_s()
        finally:
            os.close(reading)

    once_below(3.0, ending_s)


def test_the_last_lines_are_written_before_the_program_ends(start: Start) -> None:
    program = start("sound").wait_until_healthy()
    prompts(program, 50)
    program.signal()
    assert program.wait() == 0
    assert program.log.count("Successfully set to") == 50
    guide = ("Request received", "Raw data received", "=> Successfully")
    lines = [line for _, line in program.lines if line.startswith("[prompt]")]
    assert all(guide[number % 3] in line for number, line in enumerate(lines))
