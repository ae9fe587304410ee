"""The path of the walk: unit norm, no corner, and at each whole phase that seed's noise alone."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turbostream.stream.noise_path import (
    MOST_WALKERS,
    Walker,
    faded,
    heaviest,
    noise_of,
    path,
)
from turbostream.stream.shot import MAX_SEED, Noise, Shot, great_circle

STEP = 1e-3  # seeds
FASTEST = 1.92  # radians per seed

seeds = st.integers(0, MAX_SEED)
phases = st.floats(0, 1e12)
walkers = st.lists(
    st.builds(Walker, st.integers(0, 5), st.floats(0, 4), st.sampled_from([-1.0, -0.5, 0.5, 1.0])),
    min_size=1,
    max_size=MOST_WALKERS,
).map(tuple)


def norm(noise: Noise) -> float:
    """The norm if the noise of different seeds is orthonormal; in many dimensions it nearly is."""
    return math.sqrt(sum(weight * weight for _, weight in noise))


def step(one: Noise, other: Noise) -> dict[int, float]:
    before, after = dict(one), dict(other)
    return {
        seed: after.get(seed, 0.0) - before.get(seed, 0.0) for seed in before.keys() | after.keys()
    }


def length(vector: dict[int, float]) -> float:
    return math.sqrt(sum(weight * weight for weight in vector.values()))


def angle(one: dict[int, float], other: dict[int, float]) -> float:
    """Degrees."""
    product = sum(weight * other.get(seed, 0.0) for seed, weight in one.items())
    return math.degrees(math.acos(max(-1.0, min(1.0, product / length(one) / length(other)))))


@given(seeds, phases)
def test_the_norm_is_one_everywhere_and_a_shot_takes_it(seed: int, phase: float) -> None:
    noise = path(seed, phase)
    assert norm(noise) == pytest.approx(1.0, abs=1e-12)
    assert 1 <= len(noise) <= 4
    Shot((("words", 1.0),), noise)


@given(seeds, phases)
def test_the_same_phase_gives_the_same_noise(seed: int, phase: float) -> None:
    assert path(seed, phase) == path(seed, phase)


@given(seeds, st.integers(0, 10**12))
def test_a_whole_phase_is_that_seed_alone(seed: int, phase: int) -> None:
    assert path(seed, float(phase)) == (((seed + phase) % (MAX_SEED + 1), 1.0),)


@given(st.integers(0, 100), st.integers(1, 100))
def test_the_direction_has_no_corner_at_a_seed(seed: int, knot: int) -> None:
    before, at, after = (path(seed, knot + place) for place in (-STEP, 0.0, STEP))
    first, second = step(before, at), step(at, after)
    assert angle(first, second) < 0.5
    assert length(first) == pytest.approx(length(second), rel=0.01)


def test_great_circles_have_a_corner_at_a_seed() -> None:
    """The measure above finds the right angle that the path avoids."""
    before = great_circle(0, 1, math.pi / 2 * (1 - STEP))
    at = great_circle(1, 2, 0.0)
    after = great_circle(1, 2, math.pi / 2 * STEP)
    assert angle(step(before, at), step(at, after)) > 89


@given(st.integers(0, 100), st.floats(0, 100))
def test_no_step_turns_sharply_and_the_speed_stays_within_a_fifth(seed: int, phase: float) -> None:
    places = [path(seed, phase + number * STEP) for number in range(3)]
    first, second = step(places[0], places[1]), step(places[1], places[2])
    assert angle(first, second) < 0.5
    assert 1.6 < length(first) / STEP < FASTEST


@given(st.integers(0, 100), st.floats(0, 100), st.floats(0, 0.5))
def test_no_distance_on_the_path_is_crossed_faster_than_its_speed(
    seed: int, phase: float, further: float
) -> None:
    moved = length(step(path(seed, phase), path(seed, phase + further)))
    assert moved <= FASTEST * further + 1e-9


def test_the_path_goes_on_from_the_greatest_seed_to_seed_0() -> None:
    assert path(MAX_SEED, 1.0) == ((0, 1.0),)
    assert [seed for seed, _ in path(MAX_SEED, 0.5)] == [MAX_SEED - 1, MAX_SEED, 0, 1]
    assert [seed for seed, _ in path(0, 0.5)] == [MAX_SEED, 0, 1, 2]


def test_two_frames_are_told_apart_at_the_greatest_phase() -> None:
    late = 1e12 - 1
    noises = {path(0, late + number * 0.15 / 30) for number in range(100)}
    assert len(noises) == 100


@given(walkers)
def test_a_sum_of_walkers_has_unit_norm_and_each_seed_once(group: tuple[Walker, ...]) -> None:
    sums: dict[int, float] = {}
    for walker in group:
        for seed, weight in path(walker.seed, walker.phase):
            sums[seed] = sums.get(seed, 0.0) + walker.weight * weight
    if length(sums) < 0.05:  # they cancel out: no direction is left
        return
    noise = noise_of(group)
    assert len({seed for seed, _ in noise}) == len(noise)
    assert norm(noise) == pytest.approx(1.0, abs=1e-9)
    if len(group) > 1:
        assert angle(dict(noise), sums) < 1e-4
    Shot((("words", 1.0),), noise)


def test_walkers_that_pass_the_same_seed_add_up() -> None:
    noise = noise_of((Walker(3, 0.0, math.sqrt(0.5)), Walker(2, 1.0, math.sqrt(0.5))))
    assert noise == ((3, 1.0),)


@given(walkers, walkers)
def test_a_fade_of_noise_begins_at_its_start_and_ends_at_its_target(
    start: tuple[Walker, ...], target: tuple[Walker, ...]
) -> None:
    assert faded(start, target, 0.0) == start
    at_the_end = faded(start, target, 1.0)
    assert at_the_end[-len(target) :] == target
    assert all(abs(walker.weight) < 1e-15 for walker in at_the_end[: -len(target)])


@given(st.lists(st.builds(Walker, seeds, phases, st.floats(0.01, 1)), min_size=1, max_size=16))
def test_the_heaviest_walkers_are_kept_with_unit_weight(group: list[Walker]) -> None:
    kept = heaviest(tuple(group))
    assert len(kept) == min(len(group), MOST_WALKERS)
    assert sum(walker.weight**2 for walker in kept) == pytest.approx(1.0)
    least = min(walker.weight for walker in sorted(group, key=lambda w: -w.weight)[: len(kept)])
    originals = {(walker.seed, walker.phase) for walker in group if walker.weight >= least}
    assert {(walker.seed, walker.phase) for walker in kept} <= originals


def test_walkers_that_cancel_out_leave_the_noise_of_the_last() -> None:
    half = math.sqrt(0.5)
    assert noise_of((Walker(7, 2.0, half), Walker(7, 2.0, -half))) == ((9, 1.0),)
