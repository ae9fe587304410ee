"""Undo and redo: the last scenes that were replaced. Pure data; the channel's lock guards it.

Changes that follow each other closely, as typed words and moved sliders do, are one step.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from turbostream.stream.scene import Scene

MOST_STEPS = 100
ONE_STEP_S = 1.0  # since the last change of the same kind


class History:
    def __init__(self) -> None:
        self._undo: deque[Scene] = deque(maxlen=MOST_STEPS)
        self._redo: deque[Scene] = deque(maxlen=MOST_STEPS)
        self._last: tuple[frozenset[str], float] | None = None

    @property
    def steps(self) -> tuple[int, int]:
        """(how many can be undone, how many can be redone)."""
        return len(self._undo), len(self._redo)

    def add(self, before: Scene, names: frozenset[str], time: float) -> None:
        """Note that `before` was replaced by a change of the fields `names`; empty: a step of its
        own, such as a look."""
        last = self._last
        self._last = (names, time)
        self._redo.clear()
        if names and last and last[0] == names and time - last[1] < ONE_STEP_S and self._undo:
            return
        self._undo.append(before.settled(time))

    def undo(self, now: Scene, time: float) -> Scene | None:
        """The scene to go back to from `now`; None if there is none."""
        return self._swap(self._undo, self._redo, now, time)

    def redo(self, now: Scene, time: float) -> Scene | None:
        return self._swap(self._redo, self._undo, now, time)

    def _swap(
        self, source: deque[Scene], target: deque[Scene], now: Scene, time: float
    ) -> Scene | None:
        if not source:
            return None
        self._last = None
        target.append(now.settled(time))
        scene = source.pop()
        if [one.seed for one in scene.walkers] == [one.seed for one in now.walkers]:
            # The change was none of the noise: it goes on from where it is.
            scene = replace(scene, walkers=now.settled(time).walkers)
        return scene
