"""A clock that stands still while this process does: stopped, in a frozen container, or asleep.

`time.monotonic` counts the time of a SIGSTOP and of a paused container, so after 70 s of it
everything that waits seems 70 s late. One thread, the watchdog's, ticks this clock; of the time
between two ticks at most LONGEST_S counts. On a machine too busy to tick in time it is slow, never
fast. Any thread reads it. Knows nothing of who does.
"""

from __future__ import annotations

import time

TICK_S = 0.25
LONGEST_S = 1.0  # the lateness of a busy machine still counts, that of a stopped process does not


class AwakeClock:
    """`now` from any thread; `tick` every TICK_S from one thread, else the clock stands."""

    def __init__(self) -> None:
        self._last = (0.0, time.monotonic())  # (awake, monotonic s); replaced as a whole

    def now(self) -> float:
        """Seconds that this process was awake since the clock was made; never goes back."""
        return self._at(time.monotonic())

    def tick(self) -> None:
        now = time.monotonic()
        self._last = (self._at(now), now)

    def _at(self, now: float) -> float:
        awake, ticked = self._last
        return awake + min(max(0.0, now - ticked), LONGEST_S)
