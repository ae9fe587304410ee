"""The pure parts of sound on the page: the analysis of samples, and what is set by it."""

from __future__ import annotations

import math
from typing import Any

import pytest

pytestmark = pytest.mark.browser

# tones: [[hz, amplitude, from_s, until_s]], added to the noise; bad: what one sample in seven is.
ANALYSE = """async ({rate, seconds, tones, noise, bad}) => {
    const {SoundAnalysis} = await import('/page/sound_analysis.js');
    const analysis = new SoundAnalysis(rate);
    let seed = 1;
    const random = () => {
        seed = (seed * 1664525 + 1013904223) >>> 0;
        return seed / 2 ** 31 - 1;
    };
    const sample = (i) => {
        const t = i / rate;
        if (bad !== null && i % 7 === 0) return {nan: NaN, inf: Infinity}[bad];
        return noise * random() + tones
            .filter(([, , from, until]) => t >= from && t < until)
            .reduce((sum, [hz, amplitude]) => sum + amplitude * Math.sin(2 * Math.PI * hz * t), 0);
    };
    const sound = Float32Array.from({length: Math.round(seconds * rate)}, (_, i) => sample(i));
    const found = [];
    for (let end = analysis.size; end <= sound.length; end += analysis.size / 2) {
        const time = end / rate;
        found.push({time, ...analysis.take(sound.subarray(end - analysis.size, end), time)});
    }
    return found;
}"""
FOLLOW = """async ({mappings, rows, steps}) => {
    const {SoundMap} = await import('/page/sound_map.js');
    const map = new SoundMap(mappings, (name) => rows[name]);
    const silence = {level: 0, low: 0, mid: 0, high: 0, onset: false};
    return steps.map(([time, heard]) => map.take({...silence, ...heard}, time));
}"""
RATES = (16_000, 44_100, 48_000, 96_000)
SPEED = {"name": "speed", "kind": "continuous", "low": 0, "high": 4, "knob": [0, 2]}
SEED = {"name": "seed", "kind": "whole", "low": 0, "high": 2**40, "knob": [0, 127]}
NEXT = {"name": "next_look", "kind": "trigger"}
LOOK = {"name": "look", "kind": "text"}
ROWS = {row["name"]: row for row in (SPEED, SEED, NEXT, LOOK)}


@pytest.fixture(scope="module")
def window(browser, shared_server):
    """A page of the server's origin that imports modules, for all tests of this file."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(shared_server.url + "/?clean")
    yield page
    context.close()


def analysed(window: Any, **options: Any) -> list[dict[str, Any]]:
    plain = {"rate": 48_000, "seconds": 2, "tones": [], "noise": 0, "bad": None}
    return window.evaluate(ANALYSE, plain | options)


def followed(window: Any, mapping: dict[str, Any], *steps: Any) -> list[Any]:
    """What each step (time, heard) sets, or None."""
    plain = {"source": "level", "target": "speed", "amount": 1, "smoothing": 0, "floor": 0}
    mapping = plain | mapping
    arguments = {"mappings": [mapping], "rows": ROWS, "steps": steps}
    return [set_.get(mapping["target"]) for set_ in window.evaluate(FOLLOW, arguments)]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("hz", "band"), [(100, "low"), (700, "mid"), (5000, "high")])
def test_a_tone_raises_only_its_band(window, rate, hz, band):
    last = analysed(window, rate=rate, tones=[(hz, 0.5, 0, 2)])[-1]
    assert last["level"] > 0.8
    for name in ("low", "mid", "high"):
        assert (last[name] > 0.8) if name == band else (last[name] < 0.05), name


@pytest.mark.parametrize("rate", RATES)
def test_silence_is_zero_and_has_no_onset(window, rate):
    for found in analysed(window, rate=rate):
        assert [found[name] for name in ("level", "low", "mid", "high")] == [0, 0, 0, 0]
        assert found["onset"] is False


@pytest.mark.parametrize("noise", [0.0003, 0.01, 0.5])
def test_constant_noise_has_no_onset(window, noise):
    assert not any(found["onset"] for found in analysed(window, seconds=20, noise=noise))


@pytest.mark.parametrize("bad", ["nan", "inf"])
def test_samples_that_are_no_numbers_give_numbers(window, bad):
    for found in analysed(window, tones=[(440, 0.5, 0, 2)], bad=bad):
        for name in ("level", "low", "mid", "high"):
            assert math.isfinite(found[name])
            assert 0 <= found[name] <= 1


def test_samples_beyond_full_scale_stay_in_range(window):
    for found in analysed(window, tones=[(440, 1e6, 0.5, 2)]):
        assert all(0 <= found[name] <= 1 for name in ("level", "low", "mid", "high"))


def test_each_note_is_one_onset_soon_after_it_begins(window):
    begins = [0.5, 0.9, 1.3, 1.8, 2.5]
    notes = [(300 + 70 * i, 0.2, at, at + 0.25) for i, at in enumerate(begins)]
    found = analysed(window, seconds=3, tones=notes, noise=0.002)
    sounding = [it for it in found if any(at <= it["time"] < at + 0.25 for at in begins)]
    onsets = [it["time"] for it in sounding if it["onset"]]  # the end of a tone is a click, too
    assert len(onsets) == len(begins)
    assert all(0 < onset - at < 0.04 for onset, at in zip(onsets, begins, strict=True))


def test_onsets_are_at_least_80_ms_apart(window):
    bursts = [(900 + i % 3 * 400, 0.3, 1 + i * 0.045, 1.012 + i * 0.045) for i in range(40)]
    onsets = [it["time"] for it in analysed(window, seconds=3, tones=bursts) if it["onset"]]
    assert len(onsets) > 10
    assert min(b - a for a, b in zip(onsets, onsets[1:], strict=False)) >= 0.08


def test_a_quiet_source_becomes_louder_slowly_and_a_pause_does_not(window):
    quiet = analysed(window, seconds=20, tones=[(440, 0.02, 0, 20)])
    assert quiet[50]["level"] < quiet[-1]["level"] - 0.1
    paused = analysed(window, seconds=20, tones=[(440, 0.02, 0, 1), (440, 0.02, 19, 20)])
    assert paused[-1]["level"] == pytest.approx(quiet[150]["level"], abs=0.05)


def test_a_level_sweeps_the_range_of_the_knob(window):
    steps = [(0, {"level": 0}), (1, {"level": 0.5}), (2, {"level": 1})]
    assert followed(window, {}, *steps) == [0, 1, 2]
    assert followed(window, {"amount": 0.5}, *steps) == [0, 0.5, 1]
    assert followed(window, {"amount": -1}, *steps) == [2, 1, 0]
    assert followed(window, {"low": 1, "high": 3}, *steps) == [1, 2, 3]
    assert followed(window, {"target": "seed"}, *steps) == [0, 64, 127]


def test_what_is_below_the_floor_has_no_effect(window):
    steps = [(0, {"level": 0.5}), (1, {"level": 0.75}), (2, {"level": 1})]
    assert followed(window, {"floor": 0.5}, *steps) == [0, 1, 2]
    assert followed(window, {"floor": 1}, *steps) == [0, None, None]


def test_the_smoothing_is_a_time_constant(window):
    steps = [(0, {"level": 0}), *((i / 100, {"level": 1}) for i in range(1, 101))]
    found = followed(window, {"smoothing": 0.5}, *steps)
    after_half = [value for value in found[:51] if value is not None][-1]
    assert after_half == pytest.approx(2 * (1 - math.exp(-1)), abs=0.1)


def test_at_most_30_values_a_second_are_set_and_only_changed_ones(window):
    moving = [(i / 200, {"level": i % 50 / 50}) for i in range(400)]
    assert 40 < sum(value is not None for value in followed(window, {}, *moving)) <= 61
    still = [(i / 200, {"level": 0.5}) for i in range(400)]
    assert [value for value in followed(window, {}, *still) if value is not None] == [1]


def test_an_onset_presses_a_trigger_and_lifts_a_value_that_decays(window):
    steps = [(0, {}), (0.1, {"onset": True}), (0.2, {}), (0.7, {})]
    onset = {"source": "onset"}
    assert followed(window, onset | {"target": "next_look"}, *steps) == [None, True, None, None]
    found = followed(window, onset | {"smoothing": 0.5}, *steps)
    assert found[:2] == [0, 2]
    assert found[3] == pytest.approx(2 * math.exp(-0.6 / 0.5), abs=0.01)
    look = onset | {"target": "look", "value": "red"}
    assert followed(window, look, *steps) == [None, "red", None, None]


@pytest.mark.parametrize("target", ["next_look", "look", "removed"])
def test_a_level_without_a_number_to_set_has_no_effect(window, target):
    assert followed(window, {"target": target}, (0, {"level": 1}), (1, {})) == [None, None]
