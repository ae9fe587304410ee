"""A clock that the generation thread alone moves on, by all that it waits for."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future

from turbostream.stream.engine_api import Picture


class Clock:
    """In place of the producer's `time`; whatever else the machine does, no time passes."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.stopping = Stopping(self)

    def monotonic(self) -> float:
        return self.now

    time = monotonic

    def wait(self, flights: Sequence[Landing], timeout: float) -> None:
        """In place of `concurrent.futures.wait`."""
        self.now = max(self.now, min(self.now + timeout, *(flight.at for flight in flights)))


class Stopping(threading.Event):
    """In place of the producer's own event: to wait for it is to let time pass."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        if not self.is_set():
            self._clock.now += timeout
        return self.is_set()


class Landing(Future[list[Picture]]):
    """A submission that lands at a moment that is known."""

    def __init__(self, clock: Clock, at: float) -> None:
        super().__init__()
        self.at = at
        self._clock = clock

    def done(self) -> bool:
        return self._clock.now >= self.at

    def result(self, timeout: float | None = None) -> list[Picture]:
        self._clock.now = max(self._clock.now, self.at)
        return [Picture(b"jpeg", {})]
