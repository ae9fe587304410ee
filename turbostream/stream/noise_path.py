"""The path of the walk through noise: a smooth curve through the noise of one seed after another.

Pure functions of seed and phase, any thread; weights only, no pixels and no torch.

At a whole phase k the path is exactly n(seed + k), Gaussian noise of that seed. On the way from k
to k + 1 it blends the circle through n(k-1), n(k), n(k+1) into the circle through n(k), n(k+1),
n(k+2), and is scaled to unit norm. Independent noise of this many dimensions is orthogonal to
within a percent, so each circle has radius sqrt(2/3). Both neighbouring pieces follow the same
circle at a seed: direction and speed are continuous there, which two great circles that meet at a
right angle are not. The speed is 1.62 to 1.91 radians per seed. Cem Yuksel, "A Class of C2
Interpolating Splines" (2020), blends curves in the same way.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from turbostream.stream.shot import MAX_SEED, ROUNDING, Noise

LEAST_SQUARE = 1e-12  # of noise that can be scaled to unit variance
MOST_WALKERS = 8  # when a fade starts during another; each adds up to four seeds to the noise
THIRD_TURN = 2 * math.pi / 3


class Walker(NamedTuple):
    """A point that moves along the path of `seed`. phase: seeds passed since. weight: factor of its
    noise."""

    seed: int
    phase: float = 0.0
    weight: float = 1.0


Walkers = tuple[Walker, ...]


def path(seed: int, phase: float) -> Noise:
    """The noise at `phase` seeds after `seed`: at most four seeds, squared weights that add up
    to 1, some of them negative. At a whole phase it is that seed alone."""
    passed = math.floor(phase)
    at = phase - passed
    first = seed + passed
    if at == 0:
        return ((first % (MAX_SEED + 1), 1.0),)
    blend = at * at * (3 - 2 * at)
    here = [(1 - blend) * _circle(at, knot) for knot in (-1, 0, 1)]
    there = [blend * _circle(at - 1, knot) for knot in (-1, 0, 1)]
    weights = [here[0], here[1] + there[0], here[2] + there[1], there[2]]
    norm = math.sqrt(sum(weight * weight for weight in weights))
    return tuple(
        ((first + knot) % (MAX_SEED + 1), weight / norm)
        for knot, weight in zip((-1, 0, 1, 2), weights, strict=True)
        if weight
    )


def _circle(at: float, knot: int) -> float:
    """The weight of `knot` (-1, 0 or 1) on the circle through all three, which passes knot k at
    `at` = k."""
    return (1 + 2 * math.cos(THIRD_TURN * (at - knot))) / 3


def noise_of(walkers: Walkers) -> Noise:
    """The sum of the walkers' noise, scaled to unit variance, with each seed once."""
    if len(walkers) == 1:
        return path(walkers[0].seed, walkers[0].phase)
    total: dict[int, float] = {}
    for walker in walkers:
        for seed, weight in path(walker.seed, walker.phase):
            total[seed] = total.get(seed, 0.0) + walker.weight * weight
    square = sum(weight * weight for weight in total.values())
    if square < LEAST_SQUARE:
        return path(walkers[-1].seed, walkers[-1].phase)  # they cancel out
    norm = 1.0 if abs(square - 1) <= ROUNDING else math.sqrt(square)
    return tuple((seed, weight / norm) for seed, weight in total.items() if weight)


def faded(start: Walkers, target: Walkers, position: float) -> Walkers:
    """The walkers at `position`, 0 to 1, on the great circle from `start` to `target`."""
    angle = position * math.pi / 2
    shares = ((start, math.cos(angle)), (target, math.sin(angle)))
    return tuple(
        Walker(seed, phase, weight * share)
        for walkers, share in shares
        if share
        for seed, phase, weight in walkers
    )


def moved(walkers: Walkers, passed: float) -> Walkers:
    """The walkers `passed` seeds further on."""
    if passed == 0:
        return walkers
    return tuple(Walker(seed, phase + passed, weight) for seed, phase, weight in walkers)


def heaviest(walkers: Walkers) -> Walkers:
    """At most MOST_WALKERS of them, in order, scaled so that their squared weights add up to 1."""
    if len(walkers) > MOST_WALKERS:
        least = sorted(abs(walker.weight) for walker in walkers)[-MOST_WALKERS]
        walkers = tuple(walker for walker in walkers if abs(walker.weight) >= least)[:MOST_WALKERS]
    norm = math.sqrt(sum(walker.weight**2 for walker in walkers))
    if abs(norm - 1) <= ROUNDING:
        return walkers
    return tuple(Walker(seed, phase, weight / norm) for seed, phase, weight in walkers)
