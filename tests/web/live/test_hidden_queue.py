"""A tunnel that takes megabytes at once, simulated: only its bursts show the reader's rate."""

from __future__ import annotations

import pytest

from turbostream.web.live.hidden_queue import HiddenQueue


def bursts(
    hidden: HiddenQueue,
    begin: float,
    position: int,
    rate: float,
    burst: int,
    part: int,
    count: int = 3,
) -> float:
    """The path takes `burst` bytes when the reader has read as many; the time of the last."""
    now = begin
    for _ in range(count):
        now += burst / rate
        position += burst
        hidden.resumed(now, position, part)
    return now


def filled(seconds: float, size: int) -> HiddenQueue:
    hidden = HiddenQueue()
    hidden.freed(0.0, 0)
    hidden.filled(seconds, size)
    return hidden


@pytest.mark.parametrize(("rate", "burst"), [(400e3, 360_000), (100e3, 200_000), (40e3, 800_000)])
def test_the_queue_is_read_before_more_is_sent_and_the_rate_stays_below_the_readers(
    rate: float, burst: int
) -> None:
    hidden = filled(4.0, 5_000_000)
    now = bursts(hidden, 4.0, 5_000_000, rate, burst, 30_000)
    assert hidden.rate == pytest.approx(rate)
    queue = 5_000_000 - 4.0 * rate
    assert hidden.held_until - now == pytest.approx(queue / rate)
    assert 30_000 / hidden.wait_s(now + 1, 30_000) < 0.5 * rate
    assert 30_000 / hidden.wait_s(hidden.held_until + 1, 30_000) == pytest.approx(0.9 * rate)
    assert hidden.wait_s(hidden.until + 1, 30_000) == 0, "later it is tried freely again"


def test_a_reader_that_takes_one_part_at_a_time_has_no_hidden_queue() -> None:
    hidden = filled(20.0, 36_000_000)
    bursts(hidden, 20.0, 36_000_000, 60e3, 30_000, 30_000, count=20)
    assert hidden.rate == 0
    assert hidden.wait_s(30.0, 30_000) == 0


def test_a_short_stop_of_a_fast_path_limits_nothing() -> None:
    hidden = filled(2.0, 3_600_000)
    bursts(hidden, 4.0, 3_600_000, 1.8e6, 1_800_000, 30_000)
    assert hidden.wait_s(8.0, 30_000) == 0


def test_a_reader_that_becomes_slow_after_long_has_no_hidden_queue() -> None:
    hidden = filled(300.0, 500_000_000)
    bursts(hidden, 300.0, 500_000_000, 400e3, 200_000, 30_000, count=10)
    assert hidden.wait_s(310.0, 30_000) == 0
