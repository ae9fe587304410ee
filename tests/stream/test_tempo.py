"""The grid of beats, and the tempo that somebody taps."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turbostream.stream.taps import Taps
from turbostream.stream.tempo import Tempo, next_multiple

FRAME_S = 1 / 60
bpms = st.floats(20, 300)
times = st.floats(0, 1e6)


def test_at_120_bpm_a_beat_takes_half_a_second() -> None:
    tempo = Tempo(120.0, 8.0, 100.0)
    assert [tempo.beat_at(time) for time in (99.0, 100.0, 100.5, 101.25)] == [6.0, 8.0, 9.0, 10.5]
    assert tempo.time_of(10.5) == 101.25


@given(bpms, st.floats(0, 1e6), times, times, st.integers(1, 16))
def test_the_next_beat_is_a_multiple_and_not_more_than_one_away(
    bpm: float, beat: float, at: float, time: float, every: int
) -> None:
    tempo = Tempo(bpm, beat, at)
    number = next_multiple(tempo.beat_at(time), every)
    assert number % every == 0
    found = tempo.time_of(number)
    assert -1e-6 <= found - time <= every * 60 / bpm + 1e-6


def test_the_beat_of_now_is_the_next_one() -> None:
    assert next_multiple(4.0, 1) == 4.0
    assert next_multiple(4.0, 4) == 4.0
    assert next_multiple(5.0, 4) == 8.0


@given(bpms, bpms, times)
def test_another_bpm_moves_no_beat_that_has_passed(bpm: float, other: float, time: float) -> None:
    tempo = Tempo(bpm, 3.0, 0.0)
    changed = tempo.retimed(time, bpm=other)
    assert changed.beat_at(time) == tempo.beat_at(time)
    assert changed.beat_at(time + 60) == pytest.approx(tempo.beat_at(time) + other)


def test_a_beat_aligns_the_grid_and_the_same_bpm_changes_nothing() -> None:
    tempo = Tempo(100.0, 0.0, 0.0)
    assert tempo.retimed(7.0, beat=16.0) == Tempo(100.0, 16.0, 7.0)
    assert tempo.retimed(7.0, bpm=100.0) is tempo


def test_an_hour_of_a_tempo_that_changes_on_every_beat_does_not_drift() -> None:
    """As with the clock of a drum machine, compared with rational arithmetic."""
    rng = random.Random(7)
    now, tempo = 54_321.1, Tempo(120.0, 0.0, 54_321.1)
    exact, exact_at = Fraction(0), Fraction(now)
    for _ in range(7200):
        now += 0.5
        exact += (Fraction(now) - exact_at) * Fraction(tempo.bpm) / 60
        exact_at = Fraction(now)
        tempo = tempo.retimed(now, bpm=120.0 + rng.uniform(-0.5, 0.5))
    assert abs(Fraction(tempo.beat_at(now)) - exact) * 60 / 120 < Fraction(FRAME_S) / 1000


# -- taps ------------------------------------------------------------------------------------------


def tapped(*times: float) -> list[float | None]:
    taps = Taps()
    return [taps.tap(time) for time in times]


def test_two_taps_are_a_tempo_and_one_is_none() -> None:
    assert tapped(10.0, 10.5) == [None, 120.0]


@given(st.floats(30, 290), st.floats(0, 1e5), st.randoms(use_true_random=False))
def test_unsteady_taps_give_the_tempo_of_their_mean(
    bpm: float, start: float, rng: random.Random
) -> None:
    interval_s = 60 / bpm
    times = [start + (n + rng.uniform(-0.03, 0.03)) * interval_s for n in range(20)]
    found = tapped(*times)
    assert found[-1] == pytest.approx(60 * 8 / (times[-1] - times[-9]))
    assert found[-1] == pytest.approx(bpm, rel=0.01)


def test_only_the_last_eight_intervals_count() -> None:
    slow = [0.6 * number for number in range(9)]
    fast = [slow[-1] + 0.5 * number for number in range(1, 9)]
    assert tapped(*slow, *fast)[-1] == pytest.approx(120.0)


def test_a_pause_or_another_tempo_begins_again() -> None:
    assert tapped(0.0, 0.5, 1.0, 3.6) == [None, 120.0, 120.0, None]
    assert tapped(0.0, 0.5, 1.0, 2.0, 3.0) == [None, 120.0, 120.0, None, 60.0], "a missed tap"
    assert tapped(0.0, 0.5, 1.0, 1.25, 1.5) == [None, 120.0, 120.0, None, 240.0]


@given(st.lists(st.floats(0, 100), max_size=50))
def test_any_taps_give_a_tempo_that_a_scene_accepts(times: list[float]) -> None:
    for found in tapped(*times):
        assert found is None or 20 <= found <= 300
