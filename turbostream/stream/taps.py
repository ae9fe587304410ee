"""The tempo that somebody taps. No clock and no thread: the caller guards it with a lock."""

from __future__ import annotations

from collections import deque

from turbostream.stream.tempo import BPM

MOST_INTERVALS = 8
FORGOTTEN_S = 2.5  # without a tap
TOLERANCE = 0.3  # of the mean interval; a tap that is further off begins another tempo


class Taps:
    """The last taps of one tempo."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=MOST_INTERVALS + 1)

    def tap(self, time: float) -> float | None:
        """Add a tap at `time` (seconds); the tempo in beats per minute, None after a first tap.

        It is that of the mean of the last MOST_INTERVALS intervals, within what a scene accepts.
        """
        if not self._continues(time):
            self._times.clear()
        self._times.append(time)
        count = len(self._times) - 1
        if count == 0:
            return None
        mean_s = (time - self._times[0]) / count
        return min(BPM[1], max(BPM[0], 60.0 / mean_s))

    def _continues(self, time: float) -> bool:
        if not self._times:
            return True
        interval_s = time - self._times[-1]
        if not 0 < interval_s < FORGOTTEN_S:
            return False
        count = len(self._times) - 1
        if count == 0:
            return True
        mean_s = (self._times[-1] - self._times[0]) / count
        return abs(interval_s - mean_s) <= TOLERANCE * mean_s
