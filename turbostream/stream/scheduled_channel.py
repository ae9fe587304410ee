"""One channel as the scheduler sees it: its rate, its next beat, and since when frames are missing.

The generation thread writes all of it; `late_s` may be asked by any thread. Knows no engine and no
other channel.
"""

from __future__ import annotations

from collections.abc import Callable

from turbostream.stream.channel import Channel
from turbostream.stream.meter import Meter


class ScheduledChannel:
    """`channel` at `target_fps`, measured by a `meter` of its own.

    due: when the next frame should be submitted, monotonic s. wanted_since: when frames were
    wanted again after a rest, monotonic s; 0 before the first rest. alone: its last frame failed,
    so that its next one is submitted without those of other channels.
    """

    def __init__(self, channel: Channel, target_fps: float) -> None:
        self.channel = channel
        self.meter = Meter()
        self.period_s = 1.0 / target_fps
        self.due = 0.0
        self.wanted_since = 0.0
        self.alone = False
        self._resting = False
        self._missing_since: float | None = None  # awake s: the last frame, or since one is wanted

    def late_s(self, awake_now: float) -> float:
        """How long no frame has come although one is wanted; 0 while none is."""
        since = self._missing_since
        return 0.0 if since is None else awake_now - since

    def restart(self, now: float, awake: Callable[[], float]) -> None:
        """An engine was opened: the first frame is due at once."""
        self.due = now
        if self.channel.wanted and self._missing_since is None:
            self._missing_since = awake()

    def update_demand(self, now: float, awake: Callable[[], float]) -> bool:
        """Note whether somebody watches, and return it.

        A channel that begins to be watched is due at once.
        """
        if not self.channel.wanted:
            self._resting, self._missing_since = True, None
            return False
        if self._resting:
            self._resting = False
            self.due = self.wanted_since = now
            self._missing_since = awake()
        return True

    def advance(self, now: float) -> None:
        """Plan the next beat after a shot was taken at `now`.

        A live picture gains nothing from catching up: beats that were missed are skipped. The beat
        itself is kept, so that the pace does not drift.
        """
        missed = int((now - self.due) / self.period_s)
        self.due += (missed + 1) * self.period_s

    def arrived(self, awake_now: float) -> None:
        """A frame was published."""
        self.alone = False
        if not self._resting:
            self._missing_since = awake_now
