"""Where the probes of an `even` fade are, and the spacing that follows from them. Pure, any thread.

Between two prompts, the picture of a one-step model changes mostly within a small interval. Equally
spaced probes would show where that interval is but not what happens within it, so each probe after
the first few halves the interval whose ends differ most. Between the probes the spacing is a
monotone cubic: with straight lines the speed of the change has a step at every probe.
docs/experiments/2026-11.md has the figures of both.

positions: 0 to 1, rising, with both ends. distances: between the pictures of neighbouring
positions, in any unit, one fewer.
"""

from __future__ import annotations

from collections.abc import Sequence

from turbostream.stream.fade import Knots

FIRST = 5  # positions before anything is known: the ends and three between them
STEPS = 40  # knots at equal times, beside those of the probes; fade.MOST_KNOTS is the limit
# Share of the time that is spread evenly over the positions: the picture may change between two
# probes that are equal, and the distances of small steps add up to more than that of a large one.
UNIFORM = 0.15

Points = Sequence[tuple[float, float]]


def first_positions() -> tuple[float, ...]:
    """FIRST equally spaced positions, 0 to 1."""
    return tuple(index / (FIRST - 1) for index in range(FIRST))


def next_position(positions: Sequence[float], distances: Sequence[float]) -> float:
    """The middle of the interval whose ends differ most; of equal ones the longest."""
    widths = [high - low for low, high in zip(positions, positions[1:], strict=False)]
    widest = max(range(len(distances)), key=lambda index: (distances[index], widths[index]))
    return positions[widest] + widths[widest] / 2


def spacing(positions: Sequence[float], distances: Sequence[float], now: float) -> Knots:
    """Knots that spread the picture's change evenly over the rest of a fade.

    now: the elapsed fraction of the time, below 1. It is the current position as well, since the
    fade was linear until now, so the fade does not jump. Returns no knots if the pictures do not
    differ: the fade stays linear.
    """
    total = sum(distances)
    if total <= 0 or not 0 <= now < 1:
        return ()
    lengths = [0.0]
    for low, high, distance in zip(positions, positions[1:], distances, strict=False):
        lengths.append(lengths[-1] + UNIFORM * (high - low) + (1 - UNIFORM) * distance / total)
    begun = _length_at(now, positions, lengths)
    points = [(now, now)]
    for position, length in zip(positions[1:-1], lengths[1:-1], strict=True):
        if position > now:
            points.append((now + (1 - now) * (length - begun) / (lengths[-1] - begun), position))
    points.append((1.0, 1.0))
    return _sampled(points)


def _length_at(position: float, positions: Sequence[float], lengths: Sequence[float]) -> float:
    """The length at `position`, linear between the given ones."""
    for index in range(1, len(positions)):
        low, high = positions[index - 1], positions[index]
        if position <= high:
            share = (position - low) / (high - low)
            return lengths[index - 1] + share * (lengths[index] - lengths[index - 1])
    return lengths[-1]


def _sampled(points: Points) -> Knots:
    """The monotone cubic through `points` as knots: linear before the first of them, rising, ending
    at (1, 1)."""
    slopes = _slopes(points)
    now = points[0][0]
    times = {now + (1 - now) * step / STEPS for step in range(STEPS)}
    knots = [(0.0, 0.0)]
    for at in sorted(times | {at for at, _ in points[:-1]}):
        position = max(knots[-1][1], _cubic(points, slopes, at))
        if knots[-1][0] < at < 1:
            knots.append((at, min(1.0, position)))
    return (*knots, (1.0, 1.0))


def _slopes(points: Points) -> list[float]:
    """The cubic's slope at each point: the weighted harmonic mean of both sides, with which it
    never overshoots. F. N. Fritsch and J. Butland, "A Method for Constructing Local Monotone
    Piecewise Cubic Interpolants" (1984)."""
    steps = [
        (after[0] - before[0], after[1] - before[1])
        for before, after in zip(points, points[1:], strict=False)
    ]
    slopes = [rise / run for run, rise in steps]
    between = [
        3 * (left + right) / ((left + 2 * right) / one + (2 * left + right) / other)
        for (left, _), (right, _), one, other in zip(
            steps, steps[1:], slopes, slopes[1:], strict=False
        )
    ]
    return [slopes[0], *between, slopes[-1]]


def _cubic(points: Points, slopes: Sequence[float], at: float) -> float:
    """The cubic Hermite polynomial of the interval that contains `at`."""
    after = next(index for index in range(1, len(points)) if at <= points[index][0])
    (low, start), (high, end) = points[after - 1], points[after]
    run, share = high - low, (at - low) / (high - low)
    left = share * share * (2 * share - 3) + 1
    return (
        left * start
        + share * (1 - share) ** 2 * run * slopes[after - 1]
        + (1 - left) * end
        - share * share * (1 - share) * run * slopes[after]
    )
