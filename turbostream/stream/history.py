"""Undo and redo: the last scenes that were replaced. Pure data; the channel's lock guards it.

Changes of the same fields in quick succession, as from typing or a slider, are one step, and so are
the moves of a controller's knobs, whichever they are.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import NamedTuple

from turbostream.stream.scene import Scene

MOST_STEPS = 100
ONE_STEP_S = 1.0  # since the last change of the same fields


class Step(NamedTuple):
    """A scene that was replaced. moves_noise: whether the change was one of the seed or phase."""

    scene: Scene
    moves_noise: bool


class History:
    """At most MOST_STEPS scenes in each direction. Times are seconds on the caller's clock."""

    def __init__(self) -> None:
        self._undo: deque[Step] = deque(maxlen=MOST_STEPS)
        self._redo: deque[Step] = deque(maxlen=MOST_STEPS)
        self._last: tuple[frozenset[str], float] | None = None

    @property
    def steps(self) -> tuple[int, int]:
        """(how many can be undone, how many can be redone)."""
        return len(self._undo), len(self._redo)

    def add(
        self,
        before: Scene,
        names: frozenset[str],
        time: float,
        group: frozenset[str] | None = None,
    ) -> None:
        """Record that a change of the fields `names` has replaced `before`. Empty `names`: a step
        of its own, as for a look. group: what identifies changes that become one step; without it,
        `names`."""
        group = names if group is None else group
        last = self._last
        self._last = (group, time)
        self._redo.clear()
        moves_noise = not names or bool(names & {"seed", "phase"})
        if group and last and last[0] == group and time - last[1] < ONE_STEP_S and self._undo:
            step = self._undo[-1]
            self._undo[-1] = step._replace(moves_noise=step.moves_noise or moves_noise)
            return
        self._undo.append(Step(before.settled(time), moves_noise))

    def undo(self, now: Scene, time: float) -> Scene | None:
        """The scene to return to from the scene `now`; None if there is none."""
        return self._swap(self._undo, self._redo, now, time)

    def redo(self, now: Scene, time: float) -> Scene | None:
        """The scene that the last `undo` left; None if there is none."""
        return self._swap(self._redo, self._undo, now, time)

    def _swap(
        self, source: deque[Step], target: deque[Step], now: Scene, time: float
    ) -> Scene | None:
        if not source:
            return None
        self._last = None
        scene, moves_noise = source.pop()
        target.append(Step(now.settled(time), moves_noise))
        if moves_noise:
            return scene
        return replace(scene, walkers=now.settled(time).walkers)  # the walk continues
