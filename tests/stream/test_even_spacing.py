"""The spacing of an even fade: rising, exact at both ends, without a jump when it arrives."""

from __future__ import annotations

import math
import statistics
from bisect import insort
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turbostream.stream.even_spacing import first_positions, next_position, spacing
from turbostream.stream.fade import MOST_KNOTS, Fade

FRAMES = 240
Length = Callable[[float], float]  # how much a picture has changed on the way to a position

inner = st.lists(st.integers(1, 10**6 - 1), max_size=14, unique=True)
times = st.floats(0, 0.999)


@st.composite
def probes(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    positions = [0.0, *(place / 10**6 for place in sorted(draw(inner))), 1.0]
    amount = len(positions) - 1
    return positions, draw(st.lists(st.floats(0, 255), min_size=amount, max_size=amount))


def position(knots: tuple[tuple[float, float], ...], at: float) -> float:
    return Fade(0.0, 1.0, "even", knots).position(at)


@given(probes(), times)
def test_the_knots_rise_from_0_to_1_and_fit_into_a_scene(
    found: tuple[list[float], list[float]], now: float
) -> None:
    knots = spacing(*found, now)
    if not any(found[1]):
        assert knots == ()
        return
    assert (knots[0], knots[-1]) == ((0.0, 0.0), (1.0, 1.0))
    assert len(knots) <= MOST_KNOTS
    for (early, low), (late, high) in zip(knots, knots[1:], strict=False):
        assert early < late
        assert low <= high


@given(probes(), times, times)
def test_until_now_the_fade_was_linear_and_nothing_jumps(
    found: tuple[list[float], list[float]], now: float, share: float
) -> None:
    knots = spacing(*found, now)
    assert position(knots, now) == pytest.approx(now, abs=1e-12)
    assert position(knots, now * share) == pytest.approx(now * share, abs=1e-9)


def measured(length: Length, amount: int) -> tuple[list[float], list[float]]:
    positions = list(first_positions())
    while True:
        lengths = [length(place) for place in positions]
        distances = [after - before for before, after in zip(lengths, lengths[1:], strict=False)]
        if len(positions) == amount:
            return positions, distances
        insort(positions, next_position(positions, distances))


def jump(at: float, width: float) -> Length:
    """A change that mostly happens within a few `width` around `at`."""

    def length(place: float) -> float:
        return 0.1 * place + 0.9 / (1 + math.exp((at - place) / width))

    return length


def largest_over_median(length: Length, knots: tuple[tuple[float, float], ...]) -> float:
    lengths = [length(position(knots, frame / FRAMES)) for frame in range(FRAMES + 1)]
    changes = [after - before for before, after in zip(lengths, lengths[1:], strict=False)]
    return max(changes) / statistics.median(changes)


@pytest.mark.parametrize("at", [0.2, 0.47, 0.83])
@pytest.mark.parametrize("width", [0.01, 0.02, 0.04])
@pytest.mark.parametrize("now", [0.0, 0.1])
def test_a_jump_is_spread_over_the_fade(at: float, width: float, now: float) -> None:
    length = jump(at, width)
    knots = spacing(*measured(length, 16), now)
    assert largest_over_median(length, ()) > 20
    assert largest_over_median(length, knots) < 4


def test_an_even_change_needs_no_spacing() -> None:
    knots = spacing(*measured(lambda place: place, 16), 0.0)
    for at in (0.1, 0.25, 0.5, 0.9):
        assert position(knots, at) == pytest.approx(at, abs=1e-9)


def test_a_probe_halves_the_stretch_that_changes_most_and_of_equal_ones_the_longest() -> None:
    assert next_position([0.0, 0.5, 1.0], [1.0, 2.0]) == 0.75
    assert next_position([0.0, 0.2, 1.0], [1.0, 1.0]) == pytest.approx(0.6)


def test_probes_of_one_picture_leave_the_fade_linear() -> None:
    assert spacing([0.0, 0.5, 1.0], [0.0, 0.0], 0.0) == ()
