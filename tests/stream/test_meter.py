"""The figures of a channel are right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turbostream.stream.meter import SAMPLES, Meter, Percentiles, percentile


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.floats(0.01, 1))
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(
    values: list[float], share: float
) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values) + 1e-9


def test_a_percentile_of_nothing_is_none() -> None:
    assert percentile([], 0.5) is None


def test_frames_a_second_are_those_of_the_last_seconds() -> None:
    meter = Meter()
    for index in range(600):
        meter.frame(index / 60, {"denoise": 4.0})
    assert meter.fps(599 / 60) == pytest.approx(60, rel=0.01)
    assert meter.fps(599 / 60 + 10) == 0


def test_two_frames_at_different_times_give_a_rate() -> None:
    meter = Meter()
    assert meter.fps(0.0) == 0
    meter.frame(1.0, {})
    assert meter.fps(1.0) == 0
    meter.frame(1.0, {})
    assert meter.fps(1.0) == 0, "no time has passed"
    meter = Meter()
    meter.frame(1.0, {})
    meter.frame(1.5, {})
    assert meter.fps(1.5) == 2


def test_a_rate_ends_soon_after_the_last_frame() -> None:
    meter = Meter()
    for index in range(10):
        meter.frame(index / 2, {})
    assert meter.fps(4.5 + 1.9) > 0
    assert meter.fps(4.5 + 2.1) == 0


def test_prompt_to_picture_is_given_in_milliseconds_and_stays_bounded() -> None:
    meter = Meter()
    assert meter.figures(0).prompt_to_picture_ms == Percentiles(None, None)
    for index in range(10 * SAMPLES):
        meter.prompt_to_picture(0.010 if index % 10 else 0.100)
    assert meter.figures(0).prompt_to_picture_ms == Percentiles(10.0, 100.0)
