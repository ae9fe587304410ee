"""How far behind a plain reader gets, on a simulated connection. Time here is simulated."""

from __future__ import annotations

from collections import deque

import pytest

from turbostream.web.live.multipart import PREFIX
from turbostream.web.live.pace import Pace
from turbostream.web.live.tcp_info import TcpInfo

WINDOW = 64_000
STEP_S = 0.004


class Connection:
    """A reader's system acknowledges at once and tells the window of that moment: before its
    program has read. `misread` bytes of its first window are never seen again."""

    def __init__(self, size: int, reads_s: float, misread: int = 0) -> None:
        self.pace = Pace(0.0, 0)
        self.size, self.reads_s = size, reads_s
        self.ages: list[tuple[float, float]] = []  # (when a part was read, its age)
        self.parts = 0
        self._unread: deque[tuple[float, int]] = deque()  # (published, bytes left)
        self._acked = 0
        self._misread = misread
        self._window = WINDOW + misread
        self._read_at = 0.0

    def run(self, begin: float, end: float, fps: float = 60.0, reads: bool = True) -> None:
        now, frame_at = begin, begin
        while now < end:
            if reads:
                self._read(now)
            if self.pace.wants_look(now):
                self.pace.look(now, TcpInfo(self._acked, self._window, 0.0))
                if probe := self.pace.probe():
                    self._take(now, len(probe))
                    self.pace.went_ahead(len(probe))
            if now >= frame_at and self.pace.room(now):
                left = self.size - self.pace.ahead
                self._take(now, left, part=True)
                self.pace.part(now, left, left)
                self.parts += 1
                frame_at = max(frame_at, now - 1 / fps) + 1 / fps
            now += STEP_S

    def _take(self, now: float, size: int, part: bool = False) -> None:
        self._unread.append((now if part else -1.0, size))
        self._acked += size
        self._window = WINDOW - sum(left for _, left in self._unread)

    def _read(self, now: float) -> None:
        while self._unread and self._unread[0][0] < 0:
            self._unread.popleft()
        if self._unread and now >= self._read_at:
            self._read_at = max(self._read_at, now - 1 / self.reads_s) + 1 / self.reads_s
            published, _ = self._unread.popleft()
            self.ages.append((now, now - published))

    def worst(self, after: float) -> float:
        return max(age for when, age in self.ages if when > after)


@pytest.mark.parametrize("size", [3000, 8000, 30_000])
@pytest.mark.parametrize("reads_s", [0.5, 2.0, 5.0, 10.0])
def test_a_slow_reader_sees_what_is_at_most_three_of_its_reads_old(
    size: int, reads_s: float
) -> None:
    connection = Connection(size, reads_s)
    connection.run(0.0, 30.0)
    assert connection.worst(after=10.0) < 3 / reads_s + 0.1
    assert connection.pace.freely is False
    read = [when for when, _ in connection.ages if when > 10.0]
    assert len(read) > 0.8 * 20 * reads_s, "and it does not wait either"


def test_a_fast_reader_gets_every_frame() -> None:
    connection = Connection(30_000, 200.0)
    connection.run(0.0, 10.0)
    assert connection.pace.freely
    assert connection.parts > 0.97 * 600


def test_a_fast_reader_that_becomes_slow_is_followed() -> None:
    connection = Connection(3000, 200.0)
    connection.run(0.0, 5.0)
    assert connection.pace.freely
    connection.reads_s = 2.0
    connection.run(5.0, 45.0)
    assert connection.worst(after=30.0) < 3 / 2.0 + 0.1
    connection.reads_s = 200.0
    connection.run(45.0, 50.0)
    assert connection.pace.freely


def test_a_window_that_stays_smaller_than_it_was_costs_a_few_seconds_at_most() -> None:
    connection = Connection(30_000, 200.0, misread=20_000)
    connection.run(0.0, 20.0)
    before = connection.parts
    connection.run(20.0, 25.0)
    assert connection.parts - before > 0.9 * 300
    assert not connection.pace.dead(25.0, 3.0)


def test_a_reader_that_stops_is_dead_in_time_and_one_with_nothing_to_read_is_not() -> None:
    connection = Connection(3000, 200.0)
    connection.run(0.0, 5.0)
    connection.run(5.0, 14.0, reads=False)
    assert not connection.pace.dead(14.0, 10.0)
    connection.run(14.0, 16.0, reads=False)
    assert connection.pace.dead(16.0, 10.0)

    quiet = Connection(3000, 200.0)
    quiet.run(0.0, 65.0, fps=1 / 60)
    assert not quiet.pace.dead(65.0, 10.0)


def test_a_pause_of_the_server_is_not_counted_as_silence_of_the_viewer() -> None:
    connection = Connection(3000, 200.0)
    connection.run(0.0, 5.0)
    connection.run(5.0, 5.3, reads=False)
    connection.run(75.0, 75.1, reads=False)
    assert not connection.pace.dead(75.1, 10.0)
    connection.run(75.1, 86.0, reads=False)
    assert connection.pace.dead(86.0, 10.0)


def test_a_reader_that_came_back_from_a_long_silence_may_be_silent_for_longer() -> None:
    connection = Connection(3000, 200.0)
    connection.run(0.0, 5.0)
    connection.run(5.0, 13.0, reads=False)
    connection.run(13.0, 20.0)
    connection.run(20.0, 40.0, reads=False)
    assert not connection.pace.dead(40.0, 10.0)
    connection.run(40.0, 48.0, reads=False)
    assert connection.pace.dead(48.0, 10.0)


def test_what_is_sent_ahead_is_the_beginning_of_a_part_and_never_more() -> None:
    connection = Connection(3000, 200.0)
    connection.run(0.0, 60.0, reads=False)
    assert 0 < connection.pace.ahead <= len(PREFIX)
