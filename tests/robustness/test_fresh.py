"""A narrow line shows fewer frames, never older ones: the window alone, and through ssh."""

from __future__ import annotations

import heapq

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import tunnel
from tests.robustness.conftest import Start
from tests.server import once_below
from turbostream.web.live.window import LARGEST_WINDOW, PROBE_S, Window

UNUSED = float("inf")  # too few frames arrived to judge their age
needs_ssh = pytest.mark.skipif(not tunnel.available(), reason="needs sshd, ssh and pv")


def ride(
    fps: float,
    line_fps: float,
    delay_s: float,
    seconds: float = 20.0,
    lost: frozenset[int] = frozenset(),
) -> tuple[float, float]:
    """(frames shown a second, worst age after 5 s) over a line that carries `line_fps` and takes
    `delay_s` each way; reports in `lost` (by their count) never arrive."""
    window, line_free, reports, shown = Window(), 0.0, [], []
    sent = count = 0
    for tick in range(int(seconds * 1000)):
        now = tick / 1000
        while reports and reports[0][0] <= now:
            window.acknowledge(heapq.heappop(reports)[1], now)
        newest = int(now * fps)
        if newest > sent and window.has_room(now):
            sent = newest
            window.sent(sent, now)
            line_free = max(line_free, now) + 1 / line_fps
            arrives = line_free + delay_s
            shown.append((arrives, arrives - sent / fps))
            count += 1
            if count not in lost:
                heapq.heappush(reports, (arrives + delay_s, sent))
    late = [age for at, age in shown if 5 < at < seconds]
    return len(late) / (seconds - 5), max(late)


@pytest.mark.parametrize(
    ("line_fps", "delay_s"), [(13.3, 0.005), (13.3, 0.1), (5, 0.05), (30, 0.2), (3, 0.01)]
)
def test_a_line_too_narrow_for_every_frame_is_used_fully_and_shows_no_old_frame(
    line_fps: float, delay_s: float
) -> None:
    fps, worst_s = ride(60, line_fps, delay_s)
    assert fps > 0.9 * line_fps, "the line is used"
    assert worst_s < 0.75 + delay_s + 1 / line_fps


@pytest.mark.parametrize("delay_s", [0.0, 0.02, 0.15, 0.4])
def test_a_long_but_wide_line_carries_every_frame(delay_s: float) -> None:
    fps, worst_s = ride(60, 2000, delay_s)
    assert fps > 58
    assert worst_s < delay_s + 0.1


def test_lost_acknowledgements_do_not_delay_frames_for_long() -> None:
    fps, worst_s = ride(60, 13.3, 0.02, lost=frozenset({100, 101, 102, 103, 150, 151, 170}))
    assert fps > 10
    assert worst_s < 1.0


def test_a_reader_that_never_acknowledges_is_probed_less_and_less_often() -> None:
    window, sent = Window(), []
    for tick in range(60_000):
        now = tick / 1000
        if window.has_room(now):
            sent.append(now)
            window.sent(len(sent), now)
    assert sent[:2] == [0.0, 0.001]
    assert sent[2] == pytest.approx(PROBE_S, abs=0.01)
    assert len(sent) < 14


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(-5, 300)), max_size=80))
def test_no_wrong_acknowledgement_breaks_the_window(reports: list[tuple[float, int]]) -> None:
    window, now, number = Window(), 0.0, 0
    for pause_s, shown in reports:
        now += pause_s
        if window.has_room(now):
            number += 1
            window.sent(number, now)
        window.acknowledge(shown, now)
        assert 2 <= window.size <= LARGEST_WINDOW
        assert len(window._in_flight) <= LARGEST_WINDOW + 80


@needs_ssh
def test_through_ssh_at_400_kb_a_second_no_picture_is_older_than_a_second(start: Start) -> None:
    program = start("sound", environ={"PICTURE_BYTES": "30000"}).wait_until_healthy()

    def oldest_s() -> float:
        with tunnel.tunnel(program.port, "400k") as port:
            found = tunnel.ages(port, 10.0, reports=True)
        return max(age for _, age in found) if len(found) / 10 > 9 else UNUSED

    once_below(1.0, oldest_s)


@pytest.mark.browser
@needs_ssh
def test_in_a_browser_behind_a_narrow_ssh_no_picture_is_older_than_a_second(
    start: Start,
) -> None:
    program = start("sound", environ={"PICTURE_BYTES": "30000"}).wait_until_healthy()

    def oldest_s() -> float:
        with tunnel.tunnel(program.port, "400k") as port:
            frames, ages = tunnel.ages_on_page(port, 11.0, reports=True)
        return max(ages) if frames > 40 else UNUSED

    once_below(1.0, oldest_s)
