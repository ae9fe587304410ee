"""What a scene makes of the source that it is given, and how its strength fades."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.stream.modulating import modulated, on
from turbostream.stream import scene_json
from turbostream.stream.fade import EASINGS
from turbostream.stream.held_shot import scene_of
from turbostream.stream.looks import Look
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import MOVES, SOURCE_FIELDS, SOURCES, SceneError
from turbostream.stream.shot import EarlierFrame, InputPicture
from turbostream.stream.source_given import NOTHING, Given

DIGEST = "0123456789abcdef" * 4
GIVEN = Given(DIGEST, (41, 9.5))
START = Scene.single("one", motion="hold", seed=3)
OFF = {"source": "none", "strength": 0.6, "zoom": 1.0, "rotation": 0.0, "shift_x": 0, "shift_y": 0}

moves = {name: st.floats(*limits) for name, limits in MOVES.items()}
patches = st.fixed_dictionaries(
    {"fade_s": st.just(0.0) | st.floats(0.001, 20), "easing": st.sampled_from(EASINGS)},
    optional={
        "source": st.sampled_from(SOURCES),
        "strength": st.floats(0, 1),
        "speed": st.floats(0, 4),
        **moves,
    },
)
steps = st.lists(st.tuples(st.floats(0.001, 5), patches), min_size=1, max_size=6)
givens = st.builds(
    Given,
    st.none() | st.just(DIGEST),
    st.none() | st.tuples(st.integers(1, 1000), st.floats(0, 40)),
)


def played(history: list[tuple[float, dict[str, Any]]]) -> tuple[float, Scene]:
    time, scene = 0.0, START
    for wait, patch in history:
        time += wait
        scene = scene.changed(time, patch)
    return time, scene


def strength_of(scene: Scene, time: float) -> float:
    strength = replace(scene, source="picture").shot_at(time, 1, GIVEN).strength
    assert strength is not None
    return strength


# -- sources ---------------------------------------------------------------------------------------


def test_a_picture_is_a_source_as_soon_as_it_is_given() -> None:
    scene = replace(START, source="picture", strength=0.25)
    shot = scene.shot_at(10.0, 5, GIVEN)
    assert (shot.source, shot.strength) == (InputPicture(DIGEST), 0.25)
    without = scene.shot_at(10.0, 5, replace(GIVEN, picture=None))
    assert without == START.shot_at(10.0, 5)
    assert scene.shot_at(10.0, 5) == without, "nothing is given unless the caller says so"


def test_feedback_starts_from_the_newest_frame_moved_by_the_time_since() -> None:
    scene = replace(START, source="feedback", zoom=4.0, rotation=-90.0, shift_x=0.5, shift_y=-1)
    shot = scene.shot_at(10.0, 50, GIVEN)
    assert (shot.source, shot.strength) == (EarlierFrame(41, 2.0, -45.0, 0.25, -0.5), 0.6)
    assert scene.shot_at(10.0, 50, replace(GIVEN, frame=None)) == START.shot_at(10.0, 50)


def test_after_a_rest_feedback_moves_by_one_second_at_most() -> None:
    scene = replace(START, source="feedback", zoom=0.25, rotation=180, shift_x=1.0)
    assert scene.shot_at(1e6, 50, GIVEN).source == EarlierFrame(41, 0.25, 180, 1.0, 0.0)
    earlier = scene.shot_at(1.0, 50, GIVEN).source  # such as of a look, which is anchored at 0
    assert earlier == EarlierFrame(41)


def test_without_a_source_nothing_of_it_reaches_the_shot() -> None:
    scene = replace(START, strength=0.1, zoom=2.0, rotation=9.0)
    assert scene.shot_at(10.0, 5, GIVEN) == START.shot_at(10.0, 5)


def test_the_strength_has_as_many_steps_as_models_have_timesteps() -> None:
    scene = replace(START, source="picture")
    for given_, found in ((0.0, 0.001), (1e-9, 0.001), (0.12345, 0.123), (0.9996, 1.0), (1, 1.0)):
        assert replace(scene, strength=given_).shot_at(0.0, 1, GIVEN).strength == found


def test_a_modulator_moves_the_strength_and_keeps_it_within_its_range() -> None:
    scene = modulated(replace(START, source="picture", strength=0.8), on("strength", depth=0.5))
    seconds = scene.tempo.beats_per_s
    found = [scene.shot_at(step / 40 / seconds, 1, GIVEN).strength for step in range(40)]
    assert found[0] == 0.8
    assert found[10] == 1.0, "1.2 is more than the greatest strength"
    assert found[30] == pytest.approx(0.4, abs=1e-3)
    deep = modulated(replace(START, source="picture"), on("strength", shape="square"))
    assert deep.shot_at(0.75 / seconds, 1, GIVEN).strength == 0.001


@pytest.mark.parametrize(
    ("change", "named"),
    [
        *(({"strength": value}, "strength") for value in (-0.01, 1.01, 2, -1, "1", True, None)),
        *(({"strength": value}, "strength") for value in (float("nan"), float("inf"))),
        *(({"source": value}, "none, picture, feedback") for value in ("", "camera", 1, None)),
        *(({"zoom": value}, "zoom") for value in (0, 0.2, 4.1, "2")),
        *(({"rotation": value}, "rotation") for value in (-181, 181, "left")),
        *(({name: value}, name) for name in ("shift_x", "shift_y") for value in (-1.1, 1.1)),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence(change: dict[str, Any], named: str) -> None:
    with pytest.raises(SceneError, match=r"^[A-Z][^\n]*\.$") as found:
        START.changed(0.0, change)
    assert named in str(found.value)


# -- fades of the strength -------------------------------------------------------------------------


def test_a_fade_of_the_strength_begins_and_ends_exactly() -> None:
    scene = replace(START, strength=0.2).changed(
        10.0, {"strength": 1.0, "fade_s": 4, "easing": "linear"}
    )
    assert [strength_of(scene, time) for time in (10.0, 11.0, 12.0, 14.0, 99.0)] == [
        0.2, 0.4, 0.6, 1.0, 1.0,
    ]  # fmt: skip
    fade = scene.fade_at(12.0)
    assert fade is not None
    assert fade.elapsed(12.0) == 0.5
    assert scene.fade_at(14.0) is None


@given(steps, patches.filter(lambda patch: patch["fade_s"] > 0), st.floats(0.001, 3))
def test_the_strength_does_not_jump_when_a_fade_of_it_begins_in_another(
    history: list[tuple[float, dict[str, Any]]], patch: dict[str, Any], wait: float
) -> None:
    time, scene = played(history)
    time += wait
    changed = scene.changed(time, patch)
    assert strength_of(changed, time) == strength_of(scene, time)
    later = time + 1e-4 * patch["fade_s"]
    assert abs(changed.strength_at(later) - changed.strength_at(time)) < 2e-3 + abs(
        scene.strength_at(later) - scene.strength_at(time)
    )


def test_other_changes_leave_the_fade_of_the_strength_alone() -> None:
    fading = START.changed(0.0, {"strength": 0.0, "fade_s": 8})
    other = fading.changed(2.0, {"prompt": "two", "source": "picture", "zoom": 2.0})
    for time in (2.0, 3.0, 7.9, 8.0):
        assert strength_of(other, time) == strength_of(fading, time)


@given(steps, givens, st.integers(1, 1000))
def test_every_moment_is_a_valid_shot(
    history: list[tuple[float, dict[str, Any]]], given_: Given, number: int
) -> None:
    time, scene = played(history)
    for later in (0, 0.01, 0.5, 3, 20, 100):
        shot = scene.shot_at(time + later, number, given_)  # Shot checks itself
        assert (shot.source is None) == (shot.strength is None)
        assert shot == scene.shot_at(time + later, number, given_)


# -- JSON ------------------------------------------------------------------------------------------


@given(steps, st.floats(0, 10), st.floats(0, 1e6))
def test_another_process_continues_with_the_source(
    history: list[tuple[float, dict[str, Any]]], later: float, clock: float
) -> None:
    time, scene = played(history)
    found = json.loads(json.dumps(scene_json.to_json(scene, time), allow_nan=False))
    again = scene_json.from_json(found, clock)
    assert again.strength_at(clock + later) == pytest.approx(
        scene.strength_at(time + later), abs=1e-6
    )
    for name in SOURCE_FIELDS:
        assert getattr(again, name) == getattr(scene, name)


def test_a_scene_without_a_source_is_written_as_before() -> None:
    assert scene_json.to_json(START, 0.0) == {
        "version": 3,
        "prompt": "one",
        "motion": "hold",
        "speed": 0.15,
        "seed": 3,
        "phase": 0.0,
    }
    assert {name: getattr(START, name) for name in SOURCE_FIELDS} == OFF


@pytest.mark.parametrize(
    "changed",
    [
        replace(START, source="feedback"),
        replace(START, strength=0.5),
        replace(START, shift_y=-0.5),
        START.changed(0.0, {"strength": 0.5}).changed(0.0, {"strength": 0.6, "fade_s": 9}),
        modulated(START, on("strength")),
    ],
)
def test_what_programs_without_sources_do_not_know_has_a_newer_version(changed: Scene) -> None:
    found = scene_json.to_json(changed, 1.0)
    assert found["version"] == 4
    again = scene_json.from_json(json.loads(json.dumps(found)), 1.0)
    assert again.shot_at(2.0, 1, GIVEN) == changed.shot_at(2.0, 1, GIVEN)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_files_from_before_there_were_sources_are_read(version: int) -> None:
    old = {"version": version, "prompt": "old", "motion": "walk", "speed": 1.0, "seed": 7}
    scene = scene_json.from_json(old, 5.0)
    assert {name: getattr(scene, name) for name in SOURCE_FIELDS} == OFF
    assert scene.strength_from is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"source": "camera"},
        {"strength": 2},
        {"zoom": 0},
        {"fades": {"strength": {"from": 2, "seconds": 1, "elapsed_s": 0}}},
        {"fades": {"zoom": {"from": 1, "seconds": 1, "elapsed_s": 0}}},
    ],
)
def test_a_wrong_file_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SceneError, match=r"^[A-Z][^\n]*\.$"):
        scene_json.from_json({**scene_json.to_json(START, 0.0), **wrong}, 0.0)


# -- looks -----------------------------------------------------------------------------------------


def test_a_look_brings_its_source_back_and_the_strength_fades_to_it() -> None:
    played = replace(START, source="feedback", strength=0.2, zoom=1.5, rotation=10.0)
    look = Look.of("dawn", played, 3.0)
    scene = START.recalled(look.scene, 10.0, 4.0, "linear")
    assert (scene.source, scene.zoom, scene.rotation) == ("feedback", 1.5, 10.0)
    assert strength_of(scene, 10.0) == 0.6
    assert strength_of(scene, 12.0) == 0.4
    assert strength_of(scene, 14.0) == 0.2
    back = scene.recalled(Look.of("plain", START, 0.0).scene, 20.0, 0.0, "linear")
    assert {name: getattr(back, name) for name in SOURCE_FIELDS} == OFF


@given(steps, st.floats(0, 10))
def test_a_look_holds_the_strength_that_was_on_screen(
    history: list[tuple[float, dict[str, Any]]], later: float
) -> None:
    time, scene = played(history)
    settled = scene.settled(time + later)
    assert strength_of(settled, time + later + 99) == strength_of(scene, time + later)
    assert settled.strength_from is None


def test_a_recipe_without_a_source_is_held_without_one() -> None:
    held = scene_of(START.shot_at(0.0, 1), like=replace(START, source="picture", strength=0.3))
    assert held.shot_at(5.0, 1, GIVEN) == START.shot_at(0.0, 1)
    assert held.shot_at(5.0, 1, NOTHING) == held.shot_at(5.0, 1, GIVEN)
