"""One channel as the scheduler sees it: its rate, its next beat, and since when frames are missing.

A shot with an input picture that equals the one before gives the same frame again, so that it is
not taken, and the channel looks again at its next beat, or as soon as it hears of a change.

The generation thread writes all of it but what it has heard of; `late_s` may be asked by any
thread. Knows no engine and no other channel.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from turbostream.stream.channel import Channel
from turbostream.stream.meter import Meter
from turbostream.stream.shot import InputPicture, Shot, TakenShot

STILL_S = 1.0  # shorter pauses, such as those between a slow camera's pictures, are no rest


class ScheduledChannel:
    """`channel` at `target_fps`, measured by a `meter` of its own.

    due: when the next frame should be submitted, monotonic s. wanted_since: when frames were
    wanted again after a rest, monotonic s; 0 before the first rest. alone: its last frame failed,
    so that its next one is submitted without those of other channels. joins: it has begun to be
    watched, and its beats are not yet in step with those of another channel.
    """

    def __init__(self, channel: Channel, target_fps: float) -> None:
        self.channel = channel
        self.meter = Meter()
        self.period_s = 1.0 / target_fps
        self.due = 0.0
        self.wanted_since = 0.0
        self.alone = self.joins = False
        self.still_since: float | None = None
        self._resting = False
        self._missing_since: float | None = None  # awake s: the last frame, or since one is wanted
        self._last: TakenShot | None = None  # the newest one, unless it failed
        self._shown = 0  # the number of the newest frame that was published
        self._must_paint = False  # whether the next frame is awaited, although it may look the same
        self._heard = False
        channel.listen(self._hear_change)
        channel.listen_demand(self._hear_change)
        channel.listen_given(self._hear)

    def _hear_change(self) -> None:
        """Somebody waits for the frame after a change, or has just begun to watch; any thread."""
        self._must_paint = True
        self._heard = True

    def _hear(self) -> None:
        """There is another input picture; any thread."""
        self._heard = True

    def late_s(self, awake_now: float) -> float:
        """How long no frame has come although one is wanted; 0 while none is."""
        since = self._missing_since
        return 0.0 if since is None else awake_now - since

    def restart(self, now: float, awake: Callable[[], float]) -> None:
        """An engine was opened: the first frame is due at once."""
        self.due = now
        self.still_since, self._last = None, None
        if self.channel.wanted and self._missing_since is None:
            self._missing_since = awake()

    def update_demand(self, now: float, awake: Callable[[], float]) -> bool:
        """Note whether somebody watches, and return it.

        A channel that begins to be watched is due at once, and so is one at rest that has heard of
        a change.
        """
        if not self.channel.wanted:
            self._resting, self._missing_since, self.still_since = True, None, None
            return False
        if self._resting:
            self._resting, self.joins = False, True
            self.due = self.wanted_since = now
            self._missing_since = awake()
        if self._heard:  # no exchange, in which another thread's True could be lost
            self._heard = False
            if self.still_since is not None:
                self.due = min(self.due, now)
        if self.still_since is not None and self._last and self._last.number == self._shown:
            self._missing_since = awake()  # nothing is missing
        return True

    def take(self, now: float, fits: Callable[[Shot], bool]) -> TakenShot | None:
        """The next frame's number and recipe, and the beat after it is planned, which may be missed
        already (`skip_missed`); None if the shot does not fit, or if its frame is shown already."""
        must_paint = self._must_paint
        if must_paint:
            self._must_paint = False
        last, still = self._last, False

        def taken(shot: Shot) -> bool:
            nonlocal still
            same = last is not None and last.shot == shot and isinstance(shot.source, InputPicture)
            still = same and not must_paint
            return not still and fits(shot)

        found = self.channel.take_shot_if(taken)
        if found is not None:
            self._last, self.still_since = found, None
            self.due += self.period_s
        elif still:
            self.still_since = now if self.still_since is None else self.still_since
            self.due += self.period_s
        elif must_paint:
            self._must_paint = True
        return found

    def rests(self, now: float) -> bool:
        """Whether no frame was due for a while, although somebody watches."""
        return self.still_since is not None and now - self.still_since >= STILL_S

    def skip_missed(self, now: float) -> float:
        """Plan the first beat after `now`; the seconds by which that put it off.

        A live picture gains nothing from catching up: beats that were missed are skipped. The beat
        itself is kept, so that the pace does not drift.
        """
        planned = self.due
        self.due = self.beat_after(now) if planned <= now else planned
        return self.due - planned

    def beat_after(self, now: float) -> float:
        """The first of its beats after `now`."""
        return self.due + (math.floor((now - self.due) / self.period_s) + 1) * self.period_s

    def arrived(self, awake_now: float, number: int) -> None:
        """Frame `number` was published."""
        self.alone = False
        self._shown = number
        if not self._resting:
            self._missing_since = awake_now

    def failed(self) -> None:
        """A frame was not painted."""
        self.alone = True
        self._last = None
