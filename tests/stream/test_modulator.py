"""Modulators: their waves, the exact integrals of those, and an hour of them."""

from __future__ import annotations

import itertools
import math
import random
import time as real_time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stream.modulating import START, TWO, modulated, on
from turbostream.stream.modulator import MOST_DEPTH, SHAPES, Modulator, wave
from turbostream.stream.scene import Scene
from turbostream.stream.tempo import Tempo

HOUR_S = 3600.0
FRAME_S = 1 / 60


# -- waves -----------------------------------------------------------------------------------------


def test_each_shape_has_its_course() -> None:
    quarters = (0.0, 0.25, 0.5, 0.75)
    for shape, expected in (
        ("sine", [0, 1, 0, -1]),
        ("triangle", [0, 1, 0, -1]),
        ("saw", [-1, -0.5, 0, 0.5]),
        ("square", [1, 1, -1, -1]),
    ):
        for start in (0, 7, 10**6):
            found = [wave(shape, start + quarter) for quarter in quarters]
            assert found == pytest.approx(expected, abs=1e-9)


@given(st.sampled_from(SHAPES), st.floats(-1e9, 1e9), st.integers(0, 2**64))
def test_a_wave_stays_within_its_range(shape: str, periods: float, salt: int) -> None:
    assert -1 <= wave(shape, periods, salt) <= 1


def test_a_random_wave_is_smooth_differs_by_parameter_and_never_repeats() -> None:
    tempo = Tempo()
    one, other = (Modulator(name, "random", period=1.0) for name in ("speed", "phase"))
    found = [one.wave(step / 200, tempo) for step in range(200 * 100)]
    steps = [abs(b - a) for a, b in itertools.pairwise(found)]
    assert max(steps) < 0.03
    assert max(found) > 0.5 > -0.5 > min(found)
    assert abs(sum(found) / len(found)) < 0.05
    wholes = [one.wave(float(second), tempo) for second in range(100)]
    assert len(set(wholes)) == 100
    assert found != [other.wave(step / 200, tempo) for step in range(200 * 100)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("unit", ["beats", "seconds"])
def test_the_integral_is_that_of_the_wave(shape: str, unit: str) -> None:
    modulator = Modulator("speed", shape, 1.0, 0.7, unit, 0.3, began_at=2.0)
    tempo, steps = Tempo(133.0, 5.0, 1.0), 200_000
    for start, end in ((3.0, 3.1), (2.9, 11.3)):
        width = (end - start) / steps
        middles = (start + (step + 0.5) * width for step in range(steps))
        total = math.fsum(modulator.wave(middle, tempo) for middle in middles) * width
        assert modulator.wave_integral(start, end, tempo) == pytest.approx(total, abs=1e-4)


@given(st.sampled_from(SHAPES), st.floats(0, 1e5), st.floats(0, 1e3), st.floats(0, 1e3))
def test_integrals_add_up(shape: str, start: float, one_s: float, other_s: float) -> None:
    modulator, tempo = Modulator("speed", shape, period=3.0), Tempo()
    middle, end = start + one_s, start + one_s + other_s
    parts = modulator.wave_integral(start, middle, tempo) + modulator.wave_integral(
        middle, end, tempo
    )
    assert modulator.wave_integral(start, end, tempo) == pytest.approx(parts, abs=1e-6)


# -- an hour ---------------------------------------------------------------------------------------


def test_an_hour_of_a_sine_on_the_beat_drifts_by_less_than_a_frame() -> None:
    """Every frame's wave compared with rational arithmetic on the clock's exact values."""
    start = 98_765.4321
    scene = modulated(
        Scene.single("x", speed=0.5, anchored_at=start),
        on("brightness"),
        on("speed"),
        at=start,
        bpm=120,
        beat=0,
    )
    for frame in range(0, int(HOUR_S * 60), 7):
        now = start + frame * FRAME_S
        exact = float((Fraction(now) - Fraction(start)) * 2 % 1)
        expected = (1 + math.sin(2 * math.pi * exact)) / 2
        # A drift of one frame would show as up to 2 pi * 2 Hz / 60 / 2 = 0.1.
        assert scene.shot_at(now, frame).brightness == pytest.approx(expected, abs=1e-5)
        seconds = float(Fraction(now) - Fraction(start))
        swung = (1 - math.cos(2 * math.pi * exact)) / (2 * math.pi * 2)
        assert scene.phase_at(now) == pytest.approx(0.5 * (seconds + swung), abs=1e-6)


def test_an_hour_with_a_change_in_every_second_moves_the_walk_no_further() -> None:
    rng, now = random.Random(5), 777.7
    whole = modulated(START, on("speed", depth=0.8, shape="random"), at=now, beat=0)
    scene, start = whole, now
    while now < start + HOUR_S:
        now += rng.uniform(0.1, 1.9)
        scene = scene.changed(now, {"brightness": rng.random(), "fade_s": 0.5})
    a_frame = 0.5 * FRAME_S
    assert abs(scene.phase_at(now) - whole.phase_at(now)) < a_frame / 1000


def test_a_million_seconds_are_finite_and_fast() -> None:
    everything = [
        on(parameter, shape=shape, period=0.05, unit=unit)
        for parameter, shape, unit in zip(
            MOST_DEPTH, itertools.cycle(SHAPES), itertools.cycle(["beats", "seconds"]), strict=False
        )
    ]
    scene = modulated(START, *everything, prompts=TWO, bpm=300, speed=4)
    began = real_time.perf_counter()
    for number in range(1000):
        shot = scene.shot_at(1e6 + number, number)  # Shot checks itself
        assert 0 <= shot.brightness <= 1
    assert real_time.perf_counter() - began < 2.0
    assert scene.phase_at(1e6) == pytest.approx(4e6, abs=10)
