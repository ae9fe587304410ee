"""A clock that only the generation thread moves on, by what it waits for."""

from __future__ import annotations

import threading
from concurrent.futures import Future

from turbostream.stream.engine_api import Picture


class Clock:
    """In place of the scheduler's `time`: no time passes while the machine does something else."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.wake = Wake(self)
        self.pending: list[Pending] = []

    def monotonic(self) -> float:
        return self.now

    time = monotonic

    def go_on(self, timeout_s: float) -> None:
        """Until the next submission is done, for `timeout_s` at most."""
        self.pending = [future for future in self.pending if future.at > self.now]
        self.now = min([self.now + timeout_s, *(future.at for future in self.pending)])


class Wake(threading.Event):
    """In place of the scheduler's event: to wait for it lets time pass."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is None:  # a rest, which only a viewer or the end of the test ends
            return super().wait()
        if not self.is_set():
            self._clock.go_on(timeout)
        return self.is_set()


class Pending(Future[list[Picture]]):
    """A submission of one shot that is done at a known time."""

    def __init__(self, clock: Clock, at: float) -> None:
        super().__init__()
        self.at = at
        self._clock = clock
        clock.pending.append(self)

    def done(self) -> bool:
        return self._clock.now >= self.at

    def result(self, timeout: float | None = None) -> list[Picture]:
        self._clock.now = max(self._clock.now, self.at)
        return [Picture(b"jpeg", {})]
