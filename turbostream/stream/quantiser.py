"""Recalls looks on the beat or at the start of a bar, as the scene's `quantise` says.

A dedicated thread waits for the beat, so that a recall needs no viewer; the generation thread asks
before each shot, so that the first frame after the beat shows the look however late that thread
wakes. Any thread recalls. Knows no HTTP and no collection.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from turbostream.stream.channel import Change, Channel
from turbostream.stream.rhythm import Rhythm
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import check
from turbostream.stream.tempo import Tempo, next_multiple

LATE_BEATS = 0.5  # a tempo that is corrected by less does not make a recall miss its beat


@dataclass(frozen=True)
class Waiting:
    """A recall that waits for `beat` of `tempo`. every: in beats, of what it waits for."""

    look: Scene
    fade_s: float | None
    easing: str | None
    tempo: Tempo
    every: int
    beat: float

    def left_s(self, time: float) -> float:
        """Seconds until the beat; 0 or less once it has come."""
        return self.tempo.time_of(self.beat) - time

    def following(self, rhythm: Rhythm, time: float) -> Waiting:
        """What waits at `time`, after `rhythm` may have changed: for the same beat if it is still
        to come or has just passed, else for the next one."""
        tempo, every = rhythm.tempo, _every(rhythm)
        if (tempo, every) == (self.tempo, self.every) or self.left_s(tempo.at) <= 0:
            return self
        beat = tempo.beat_at(time)
        if not 0 <= beat - self.beat < LATE_BEATS:
            return replace(self, tempo=tempo, every=every, beat=next_multiple(beat, every))
        return replace(self, tempo=tempo, every=every)


class Quantiser:
    """At most one recall waits; a newer one replaces it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._lock = threading.Lock()
        self._waiting: Waiting | None = None
        self._woken = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="quantiser", daemon=True)
        channel.listen(self._woken.set)  # the tempo may have changed
        channel.before_shot = self.recall_due

    def recall(
        self, look: Scene, fade_s: float | None = None, easing: str | None = None
    ) -> Change | float:
        """Recall `look` at once, or on the next beat or bar; gives the change, or the seconds that
        it waits. fade_s, easing: None: the channel's defaults; raises SceneError if invalid."""
        self._channel.require_own_scene()
        if fade_s is not None:
            fade_s = check("fade_s", fade_s)
        if easing is not None:
            easing = check("easing", easing)
        with self._lock:
            change, now = self._channel.snapshot()
            rhythm = change.scene.rhythm
            every = _every(rhythm)
            beat = next_multiple(rhythm.tempo.beat_at(now), every) if every else 0.0
            waiting = Waiting(look, fade_s, easing, rhythm.tempo, every, beat)
            left_s = waiting.left_s(now)
            if not every or left_s <= 0:
                return self._recall(waiting)
            self._waiting = waiting
        self._woken.set()
        return left_s

    def recall_due(self) -> None:
        """Put the waiting recall in force if its beat has come."""
        if self._waiting is None:  # without the lock: it is asked before every frame
            return
        with self._lock:
            left_s = self._left_s()
            if self._waiting is not None and left_s is not None and left_s <= 0:
                self._recall(self._waiting)

    def recall_now(self) -> None:
        """Put the waiting recall in force without its beat."""
        with self._lock:
            if self._waiting is not None:
                self._recall(self._waiting)

    # -- the thread ----------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End the thread, waiting at most `timeout_s` for it, and put a waiting recall in force."""
        self._stopping = True
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        self.recall_now()

    def _run(self) -> None:
        while not self._stopping:
            self.recall_due()
            with self._lock:
                left_s = self._left_s()
            self._woken.wait(None if left_s is None else max(0.0, left_s))
            self._woken.clear()

    def _left_s(self) -> float | None:
        """Under the lock: seconds until the waiting recall is due; None if none waits."""
        if self._waiting is None:
            return None
        change, now = self._channel.snapshot()
        rhythm = change.scene.rhythm
        if rhythm.quantise == "off":
            return 0.0
        self._waiting = self._waiting.following(rhythm, now)
        return self._waiting.left_s(now)

    def _recall(self, waiting: Waiting) -> Change:
        """Under the lock."""
        self._waiting = None
        return self._channel.recall(waiting.look, waiting.fade_s, waiting.easing)


def _every(rhythm: Rhythm) -> int:
    """The beats from one recall to the next possible one; 0 if every moment is possible."""
    return {"off": 0, "beat": 1, "bar": rhythm.beats_per_bar}[rhythm.quantise]
