"""How much of what its channels ask for the machine paints, when that is not all.

The generation thread writes, any thread reads.
"""

from __future__ import annotations

import threading
from collections import deque

WINDOW_S = 3.0
ENOUGH = 0.9  # less is a shortage; single beats are missed on every machine


class Shortage:
    """The time by which beats were put off, over the last WINDOW_S."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lost: deque[tuple[float, float]] = deque()

    def note(self, now: float, lost_s: float) -> None:
        """All beats were put off by `lost_s` at `now` (monotonic s)."""
        with self._lock:
            self._lost.append((now, lost_s))
            while self._lost[0][0] < now - WINDOW_S:
                self._lost.popleft()

    def share(self, now: float) -> float:
        """The part of the frames asked for that is painted, 0 to 1."""
        with self._lock:
            lost_s = sum(lost_s for at, lost_s in self._lost if now - at < WINDOW_S)
        return max(0.0, 1.0 - lost_s / WINDOW_S)

    def sentence(self, now: float) -> str | None:
        """What to say of it; None while there is enough."""
        share = self.share(now)
        if share >= ENOUGH:
            return None
        return (
            f"The machine paints {share:.0%} of the frames that are asked for; the rate of every "
            "channel is lower in proportion."
        )
