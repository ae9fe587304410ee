"""What tempo and modulators do to a scene, and what leaves them alone."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stream.modulating import START, TWO, modulated, on
from turbostream.stream import scene_json
from turbostream.stream.channel import Channel
from turbostream.stream.looks import Look
from turbostream.stream.modulator import MOST_DEPTH, SHAPES
from turbostream.stream.noise_path import path
from turbostream.stream.parameters import PARAMETERS
from turbostream.stream.resume import left, resumed
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import QUANTISE, SceneError, check
from turbostream.stream.tempo import Tempo

modulators = st.lists(
    st.fixed_dictionaries(
        {
            "parameter": st.sampled_from(sorted(MOST_DEPTH)),
            "shape": st.sampled_from(SHAPES),
            "depth": st.floats(0, 1),
            "period": st.floats(0.05, 1000),
            "unit": st.sampled_from(["beats", "seconds"]),
            "phase": st.floats(0, 1),
        }
    ),
    max_size=8,
    unique_by=lambda fields: fields["parameter"],
)


# -- a scene ---------------------------------------------------------------------------------------


@given(modulators, st.lists(st.floats(0, 1e5), min_size=1, max_size=10), st.integers(1, 10**9))
def test_shots_are_pure_whatever_the_order_of_the_calls(
    found: list[dict[str, Any]], times: list[float], number: int
) -> None:
    scene = modulated(START, *found, prompts=TWO)
    first = {time: scene.shot_at(time, number) for time in times}
    for time in sorted(times, reverse=True):
        assert scene.shot_at(time, number) == first[time]


@given(modulators, st.floats(0, 1e5), st.floats(0, 1e4), st.floats(0, 1e9))
def test_another_process_continues_modulators_and_beat(
    found: list[dict[str, Any]], time: float, later: float, clock: float
) -> None:
    scene = modulated(START, *found, at=time, prompts=TWO, bpm=133.0, quantise="bar")
    time += later
    for restart in (True, False):
        kept = json.loads(json.dumps(left(scene, START, time), allow_nan=False))
        again = resumed(kept, START, clock, restart)
        assert again.as_dict(clock) == {
            **scene.as_dict(time),
            "beat": pytest.approx(scene.tempo.beat_at(time)),
            "phase": pytest.approx(scene.phase_at(time)),
        }
        for passed in (0.0, 1.25, 10.0):
            assert again.tempo.beat_at(clock + passed) == pytest.approx(
                scene.tempo.beat_at(time + passed), abs=1e-5
            )
            for one, other in zip(again.rhythm.modulators, scene.rhythm.modulators, strict=True):
                assert one.periods_at(clock + passed, again.tempo) == pytest.approx(
                    other.periods_at(time + passed, scene.tempo), abs=1e-4
                )


def test_a_dimmer_dims_and_black_stays_black() -> None:
    scene = modulated(START, on("brightness", depth=0.5), brightness=0.8)
    found = [scene.shot_at(step / 80, 1).brightness for step in range(80)]
    assert (min(found), max(found)) == (pytest.approx(0.4), pytest.approx(0.8))
    black = scene.changed(0.0, {"brightness": 0})
    assert {black.shot_at(step / 100, 1).brightness for step in range(100)} == {0.0}


def test_the_weights_of_a_blend_swing_and_a_prompt_that_does_not_exist_has_none() -> None:
    scene = modulated(START, on("weight_2"), on("weight_7"), prompts=TWO)
    assert scene.shot_at(0.0, 1).prompts == (("one", 0.5), ("two", 0.5))
    up, down = scene.shot_at(0.125, 1).prompts, scene.shot_at(0.375, 1).prompts
    assert up == (("one", pytest.approx(1 / 3)), ("two", pytest.approx(2 / 3)))
    assert down == (("one", 1.0),)
    assert scene.words_at(0.125) == (("one", 0.5), ("two", 0.5)), "a fade starts from these"


def test_weights_that_would_all_be_0_stay() -> None:
    square = {"shape": "square", "phase": 0.5}
    scene = modulated(START, on("weight_1", **square), on("weight_2", **square), prompts=TWO)
    assert scene.shot_at(0.1, 1).prompts == (("one", 0.5), ("two", 0.5))


def test_during_a_fade_of_words_the_weights_of_the_target_swing() -> None:
    scene = modulated(Scene.single("old"), on("weight_2"))
    scene = scene.changed(0.0, {"prompts": TWO, "fade_s": 10, "easing": "linear"})
    assert dict(scene.shot_at(5.375, 1).prompts) == {
        "old": pytest.approx(0.4625),
        "one": pytest.approx(0.5375),
    }


def test_a_shifted_phase_moves_also_a_held_noise_and_before_the_seed() -> None:
    scene = modulated(START, on("phase", depth=1.5), motion="hold")
    assert scene.shot_at(0.125, 1).noise == path(3, 1.5)
    assert scene.shot_at(0.375, 1).noise == path(3, -1.5)
    assert scene.phase_at(0.375) == 0.0
    assert scene_json.to_json(scene, 0.375)["phase"] == 0.0


@given(modulators, st.floats(0, 100), st.floats(0, 4), st.floats(0, 4))
def test_a_walk_never_falls_below_its_anchor(
    found: list[dict[str, Any]], time: float, speed: float, other: float
) -> None:
    scene = modulated(Scene.single("x", speed=speed), *found)
    fading = scene.changed(time, {"speed": other, "fade_s": 5})
    for passed in (0.0, 0.1, 1.0, 4.9, 50.0):
        assert fading.phase_at(time + passed) >= fading.phase_at(time)


RETIMED = st.fixed_dictionaries(
    {},
    optional={
        "bpm": st.floats(20, 300),
        "beat": st.floats(0, 1e6),
        "modulators": modulators,
        "speed": st.floats(0, 4),
        "fade_s": st.floats(0, 5),
    },
)


@given(modulators, st.floats(0, 1e4), RETIMED)
def test_no_change_moves_the_walk(
    found: list[dict[str, Any]], time: float, change: dict[str, Any]
) -> None:
    scene = modulated(START, *found)
    assert scene.changed(time, change).phase_at(time) == pytest.approx(scene.phase_at(time))


@pytest.mark.parametrize("change", [{"depth": 0.2}, {"period": 7.3}, {"phase": 0.4}])
def test_a_period_in_seconds_goes_on_when_its_modulator_is_changed(change: dict[str, Any]) -> None:
    fields = on("phase", period=2.0, unit="seconds", shape="random")
    before = modulated(START, fields, at=10.0)
    (one,) = before.rhythm.modulators
    (other,) = modulated(before, {**fields, **change}, at=25.3).rhythm.modulators
    moved = change.get("phase", 0.0)
    assert other.periods_at(25.3, Tempo()) == pytest.approx(one.periods_at(25.3, Tempo()) + moved)


def test_without_modulators_a_shot_is_exactly_what_it_was() -> None:
    plain = Scene.single("x", speed=0.37, seed=9, anchored_at=5.3)
    swung = modulated(plain, *(on(parameter, depth=0.0) for parameter in MOST_DEPTH), at=5.3)
    for step in range(100):
        now = 5.3 + step * 0.731
        assert plain.shot_at(now, step).noise == path(9, 0.37 * (now - 5.3))
        assert swung.shot_at(now, step) == plain.shot_at(now, step)


def test_the_table_offers_what_the_scene_accepts() -> None:
    assert {row.name for row in PARAMETERS.values() if row.modulation} == set(MOST_DEPTH)
    assert PARAMETERS["quantise"].choices == QUANTISE
    for name in ("bpm", "beats_per_bar"):
        row = PARAMETERS[name]
        for end in (row.low, row.high):
            assert check(name, end) == end
        for beyond in (row.low - 1, row.high + 1):
            with pytest.raises(SceneError):
                check(name, beyond)


# -- masters ---------------------------------------------------------------------------------------

RHYTHM = {
    "bpm": 99.0,
    "beats_per_bar": 3,
    "quantise": "beat",
    "modulators": [{**on("speed", depth=0.5), "unit": "beats", "phase": 0.0}],
}


def test_looks_and_undo_leave_the_rhythm_alone() -> None:
    channel = Channel("main", Scene.single("first"), lambda: 4.0)
    look = Look.of("one", channel.scene, 4.0)
    channel.change({"prompt": "second"})
    for name, value in RHYTHM.items():
        before = channel.revision
        channel.change({name: value})
        assert channel.revision == before + 1
    assert channel.history == (1, 0), "the rhythm is no step"
    other = Look.of("two", channel.scene, 4.0)
    assert not set(RHYTHM) & set(scene_json.to_json(other.scene, 0.0))
    for act in (channel.undo, channel.redo, lambda: channel.recall(look.scene)):
        act()
        shown = channel.scene.as_dict(4.0)
        assert {name: shown[name] for name in RHYTHM} == RHYTHM


def test_the_same_rhythm_is_no_change_but_a_beat_is_one() -> None:
    now = 4.0
    channel = Channel("main", Scene.single("first"), lambda: now)
    seconds = [on("speed", unit="seconds", phase=0.0)]
    for patch in (RHYTHM, {"modulators": seconds}):
        channel.change(patch)
        before = channel.last_change
        now += 1.3
        assert channel.change(patch) is before
    for beat in (7, 7):
        change = channel.change({"beat": beat})
        assert change is not before
        assert change.scene.tempo.beat_at(now) == 7
        before = change


def test_a_channel_begins_at_beat_0() -> None:
    channel = Channel("main", Scene.single("first"), lambda: 1e6)
    assert channel.scene.tempo.beat_at(1e6) == 0


# -- bad input -------------------------------------------------------------------------------------

WRONG_MODULATORS: list[object] = [
    None, "sine", {}, [7], [{}], [{"shape": "sine"}], [on("speed", colour=1)], [on("seed")],
    [on(["speed"])], [on("speed"), on("speed")], [on("speed")] * 17, [on("speed", shape="cube")],
    [on("speed", shape=None)], [on("speed", depth=1.1)], [on("speed", depth=-0.1)],
    [on("speed", depth=True)], [on("phase", depth=16.1)], [on("speed", period=0)],
    [on("speed", period=math.nan)], [on("speed", period="4")], [on("speed", period=1e9)],
    [on("speed", unit="bars")], [on("speed", phase=1.1)], [on("speed", phase=math.inf)],
    [on("speed", began_at=0)],
]  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        *({"bpm": value} for value in (0, 19.9, 300.1, 10_000, math.nan, math.inf)),
        *({"bpm": value} for value in (True, "120", None, [120])),
        *({"beat": value} for value in (-1, 1e10, math.nan, True, "1", 10**400)),
        *({"beats_per_bar": value} for value in (0, 17, 4.0, True, "4")),
        *({"quantise": value} for value in ("bars", True, None, [])),
        *({"modulators": value} for value in WRONG_MODULATORS),
    ],
)  # fmt: skip
def test_a_wrong_rhythm_is_refused_in_one_sentence(change: dict[str, object]) -> None:
    scene = modulated(START, on("speed"))
    with pytest.raises(SceneError, match=r"^[A-Z][^\n]*\.$"):
        scene.changed(0.0, change)
    with pytest.raises(SceneError, match=r"^[A-Z][^\n]*\.$"):
        scene_json.from_json({**scene_json.to_json(START, 0.0), **change}, 0.0)


@pytest.mark.parametrize("elapsed_s", [-1, math.nan, math.inf, True, "1", None])
def test_a_file_with_a_wrong_time_is_refused(elapsed_s: object) -> None:
    fields = on("speed", unit="seconds", elapsed_s=elapsed_s)
    with pytest.raises(SceneError, match=r"^[A-Z][^\n]*\.$"):
        scene_json.from_json({**scene_json.to_json(START, 0.0), "modulators": [fields]}, 0.0)


def test_older_scenes_are_read_and_newer_ones_are_refused() -> None:
    for version in (1, 2, 3, 4):
        scene = scene_json.from_json({"version": version, "prompt": "old words"}, 9.0)
        assert (scene.tempo, scene.rhythm.modulators) == (Tempo(at=9.0), ())
    with pytest.raises(SceneError, match="newer version"):
        scene_json.from_json({"version": scene_json.VERSION + 1, "prompt": "new words"}, 0.0)
