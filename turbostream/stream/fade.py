"""A change over time: its position, and the value that it started from.

Pure data and pure functions, any thread. Times are seconds on the caller's clock; the JSON form
contains the elapsed time instead, so that another process can continue the fade.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from turbostream.stream.shot import is_number

EASINGS = ("linear", "smooth", "even")
MAX_FADE_S = 600.0
MOST_KNOTS = 64

Knots = tuple[tuple[float, float], ...]  # (fraction of the time, position), both rising, 0 to 1
T = TypeVar("T")


@dataclass(frozen=True)
class Fade:
    """A course from position 0 at `began_at` to position 1 after `seconds`.

    easing: `linear`; `smooth`, which begins and ends slowly (3u² - 2u³); `even`, which spaces a
    fade of words by how much the picture changes. spacing: the course of `even`, once it has been
    measured; until then, and for anything but words, `even` is linear.
    """

    began_at: float
    seconds: float
    easing: str = "smooth"
    spacing: Knots = ()

    def elapsed(self, time: float) -> float:
        """The fraction of the time that has passed, 0 to 1."""
        if self.seconds <= 0:
            return 1.0
        return min(1.0, max(0.0, (time - self.began_at) / self.seconds))

    def is_over(self, time: float) -> bool:
        return self.elapsed(time) >= 1

    def position(self, time: float) -> float:
        """The position at `time`, 0 to 1; it never decreases."""
        passed = self.elapsed(time)
        if self.easing == "smooth":
            return passed * passed * (3 - 2 * passed)
        return _between(self.spacing, passed) if self.spacing else passed

    def integral(self, time: float) -> float:
        """The integral of the position from `began_at` to `time`, in seconds: the distance covered
        at a speed that fades from 0 to 1 per second. `even` counts as linear."""
        passed = self.elapsed(time)
        after = max(0.0, time - self.began_at - self.seconds)
        area = passed**3 - passed**4 / 2 if self.easing == "smooth" else passed * passed / 2
        return self.seconds * area + after

    def as_dict(self, time: float) -> dict[str, Any]:
        """The JSON form for the web, at `time`."""
        return {
            "progress": self.elapsed(time),
            "left_s": self.began_at + self.seconds - time,
            "easing": self.easing,
        }


@dataclass(frozen=True)
class Transition(Generic[T]):
    """What one aspect of a scene fades from; the scene itself holds what it fades to."""

    start: T
    fade: Fade


def begun(start: T, fade: Fade) -> Transition[T] | None:
    """The transition that begins at `start`; None for a cut."""
    return Transition(start, fade) if fade.seconds > 0 else None


def still(transition: Transition[T] | None, time: float) -> Transition[T] | None:
    """The transition if it is in progress at `time`, else None."""
    return None if transition is None or transition.fade.is_over(time) else transition


def between(transition: Transition[float] | None, target: float, time: float) -> float:
    """The value at `time` of a number that fades to `target`."""
    if transition is None or transition.fade.is_over(time):
        return target
    return transition.start + (target - transition.start) * transition.fade.position(time)


def to_json(transition: Transition[T], time: float, start: Any) -> dict[str, Any]:
    """The JSON form at `time`. start: the JSON form of the transition's start."""
    fade = transition.fade
    values: dict[str, Any] = {
        "from": start,
        "seconds": fade.seconds,
        "elapsed_s": max(0.0, time - fade.began_at),
        "easing": fade.easing,
    }
    if fade.spacing:
        values["spacing"] = [list(knot) for knot in fade.spacing]
    return values


def from_json(data: object, time: float, start: Callable[[object], T]) -> Transition[T]:
    """The inverse of `to_json`: the transition continues at `time`. start: reads the JSON form of
    its start. Raises ValueError with a clause that names the fault."""
    if not isinstance(data, Mapping) or not {"from", "seconds", "elapsed_s"} <= set(data):
        raise ValueError("a fade needs from, seconds and elapsed_s")
    if unknown := set(data) - {"from", "seconds", "elapsed_s", "easing", "spacing"}:
        raise ValueError(f"a fade has no {sorted(map(str, unknown))[0][:40]!r}")
    seconds, passed = data["seconds"], data["elapsed_s"]
    for value, most in ((seconds, MAX_FADE_S), (passed, math.inf)):
        if not is_number(value) or not 0 <= value <= most:
            raise ValueError("the times of a fade must be numbers of seconds, at most 600")
    easing = data.get("easing", "smooth")
    if easing not in EASINGS:
        raise ValueError(f"the easing of a fade must be one of {', '.join(EASINGS)}")
    spacing = _knots(data.get("spacing", []))
    return Transition(start(data["from"]), Fade(time - passed, float(seconds), easing, spacing))


def _knots(data: object) -> Knots:
    wrong = "the spacing of a fade must be rising pairs of numbers from 0 to 1"
    if not isinstance(data, list | tuple) or len(data) > MOST_KNOTS or len(data) == 1:
        raise ValueError(wrong)
    knots: list[tuple[float, float]] = []
    for pair in data:
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(map(is_number, pair)):
            raise ValueError(wrong)
        at, position = float(pair[0]), float(pair[1])
        if knots and not (knots[-1][0] < at and knots[-1][1] <= position):
            raise ValueError(wrong)
        knots.append((at, position))
    if knots and (knots[0] != (0.0, 0.0) or knots[-1] != (1.0, 1.0)):
        raise ValueError(wrong)
    return tuple(knots)


def _between(knots: Knots, at: float) -> float:
    """Piecewise linear through the knots, which begin at (0, 0) and end at (1, 1)."""
    after = bisect_right(knots, (at, math.inf))
    if after == len(knots):
        return 1.0
    (low, start), (high, end) = knots[after - 1], knots[after]
    return start + (end - start) * (at - low) / (high - low)
