"""A name, a scene and a buffer; and who watches.

The scene and the numbering of its shots stand under one lock: whoever changes the scene learns
the number of the last shot that was taken from the old one, so "every frame after n shows the
new words" is exact, not a guess.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from turbostream.stream.frame import Frame, FrameBuffer
from turbostream.stream.scene import Scene, Shot


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
        self._change = Change(scene, after=0, at=clock())
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
                return self._change  # nothing new: a frame under way need not be thrown away
            self._change = Change(scene, after=self._number, at=now)
            return self._change

    def take_shot(self) -> tuple[int, Shot]:
        """The next frame's number and recipe, at this moment; the producer's thread only."""
        with self._lock:
            self._number += 1
            return self._number, self._change.scene.shot_at(self._clock(), self._number)

    def current(self) -> Frame | None:
        """The newest frame, unless it shows an older scene."""
        frame = self.buffer.newest()
        return frame if frame is not None and frame.number > self.last_change.after else None

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
