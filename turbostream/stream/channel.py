"""A name, a scene and a buffer; and who watches.

The scene and the numbering of its shots stand under one lock: whoever changes the scene learns
the number of the last shot that was taken from the old one, so "every frame after n shows the
new words" is exact, not a guess. A change costs no frame: those under way are finished and shown,
and the next shot is taken from whatever scene is in force by then, however many changes came.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from turbostream.stream.frame import FrameBuffer
from turbostream.stream.scene import Scene
from turbostream.stream.shot import Shot

MOST_UNSHOWN = 64  # changes that wait for their first frame; more only while frames fail


@dataclass(frozen=True)
class Change:
    """A scene that was put in force at `at` (monotonic s); frames after `after` show it."""

    scene: Scene
    after: int
    at: float


class Channel:
    def __init__(
        self, name: str, scene: Scene, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.buffer = FrameBuffer()
        self._clock = clock
        self._lock = threading.Lock()
        now = clock()
        self._change = Change(replace(scene, anchored_at=now), after=0, at=now)
        self._unshown: deque[Change] = deque(maxlen=MOST_UNSHOWN)  # `after` rises
        self._listeners: tuple[Callable[[], object], ...] = ()
        self._number = 0
        self._watchers = 0
        self._wanted = threading.Event()

    @property
    def scene(self) -> Scene:
        return self.last_change.scene

    @property
    def last_change(self) -> Change:
        with self._lock:
            return self._change

    @property
    def last_number(self) -> int:
        """The number of the newest shot that was taken."""
        with self._lock:
            return self._number

    @property
    def watchers(self) -> int:
        with self._lock:
            return self._watchers

    def change(self, changes: dict[str, Any]) -> Change:
        """Patch the scene; raises SceneError and leaves it as it was if the patch is wrong."""
        with self._lock:
            now = self._clock()
            scene = self._change.scene.changed(now, changes)
            if "seed" not in changes and scene.as_dict() == self._change.scene.as_dict():
                return self._change  # nothing new: the frames under way show it already
            change = self._change = Change(scene, after=self._number, at=now)
            # The same frame will be the first to show all changes that came since the last shot;
            # the first of them has waited longest for it.
            if not self._unshown or self._unshown[-1].after < change.after:
                self._unshown.append(change)
            listeners = self._listeners
        for listener in listeners:
            listener()
        return change

    def resume(self, scene_at: Callable[[float], Scene]) -> Change:
        """Put the scene of an earlier process in force; `scene_at` is told the time now.

        What `scene_at` raises leaves everything as it was.
        """
        with self._lock:
            now = self._clock()
            self._change = Change(scene_at(now), after=self._number, at=now)
            self._unshown.clear()
            return self._change

    def snapshot(self) -> tuple[Change, float]:
        """The scene in force, and the time on the clock that it is anchored on."""
        with self._lock:
            return self._change, self._clock()

    def listen(self, listener: Callable[[], object]) -> None:
        """Call `listener` on the changing thread after each change; it must return at once."""
        with self._lock:
            self._listeners += (listener,)

    def take_shot(self) -> tuple[int, Shot]:
        """The next frame's number and recipe, at this moment; the producer's thread only."""
        with self._lock:
            self._number += 1
            return self._number, self._change.scene.shot_at(self._clock(), self._number)

    def first_shown_by(self, number: int) -> Change | None:
        """The change that waited longest of those that frame `number` is the first to show, once.

        None if it shows none that was not shown before. For the measurement of how long changes
        take; the producer's thread only.
        """
        with self._lock:
            longest: Change | None = None
            while self._unshown and self._unshown[0].after < number:
                change = self._unshown.popleft()
                longest = longest or change
            return longest

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Frames are wanted while this is entered; the producer rests when nobody is inside."""
        with self._lock:
            self._watchers += 1
            self._wanted.set()
        try:
            yield
        finally:
            with self._lock:
                self._watchers -= 1
                if not self._watchers:
                    self._wanted.clear()

    def wait_wanted(self, timeout_s: float) -> bool:
        """Block the producer's thread until somebody watches; True if somebody does."""
        return self._wanted.wait(timeout_s)

    def wake(self) -> None:
        """Let `wait_wanted` return once, so that a stopping producer need not wait."""
        self._wanted.set()
