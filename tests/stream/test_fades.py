"""Fades of a scene start from what is on screen, each on its own, and end exactly."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turbostream.stream import scene_json
from turbostream.stream.fade import EASINGS, Fade
from turbostream.stream.held_shot import scene_of
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import MOST_MIXED, SceneError
from turbostream.stream.shot import Shot

START = Scene.single("one", speed=0.5, seed=3)
weights = st.floats(0.01, 10)
texts = st.sampled_from(["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
patches = st.fixed_dictionaries(
    # A clock at 1e6 s does not tell the beginning of a fade of 1e-255 s from its end.
    {"fade_s": st.just(0.0) | st.floats(0.001, 20), "easing": st.sampled_from(EASINGS)},
    optional={
        "prompts": st.lists(
            st.fixed_dictionaries({"text": texts, "weight": weights}), min_size=1, max_size=8
        ),
        "speed": st.floats(0, 4),
        "motion": st.sampled_from(["walk", "hold"]),
        "brightness": st.floats(0, 1),
        "seed": st.integers(0, 9),
        "phase": st.floats(0, 100),
    },
)
steps = st.lists(st.tuples(st.floats(0.001, 5), patches), min_size=1, max_size=6)


def played(moves: list[tuple[float, dict[str, Any]]]) -> tuple[float, Scene]:
    time, scene = 0.0, START
    for wait, patch in moves:
        time += wait
        scene = scene.changed(time, patch)
    return time, scene


def distance(one: Shot, other: Shot) -> float:
    """The largest difference of a weight."""
    mixes = [dict[object, float](shot.prompts) | dict(shot.noise) for shot in (one, other)]
    names = set(mixes[0]) | set(mixes[1])
    return max(abs(mixes[0].get(name, 0.0) - mixes[1].get(name, 0.0)) for name in names)


def test_a_fade_of_words_begins_and_ends_exactly() -> None:
    scene = START.changed(10.0, {"prompt": "two", "fade_s": 8})
    assert scene.words_at(10.0) == (("one", 1.0),)
    assert scene.words_at(14.0) == (("one", 0.5), ("two", 0.5))
    assert scene.words_at(18.0) == (("two", 1.0),)


def test_a_cut_is_a_cut() -> None:
    assert START.changed(1.0, {"prompt": "two"}).words_at(1.0) == (("two", 1.0),)


@given(steps, patches.filter(lambda patch: patch["fade_s"] > 0), st.floats(0.001, 3))
def test_a_fade_starts_from_what_is_on_screen_also_in_the_middle_of_another(
    moves: list[tuple[float, dict[str, Any]]], patch: dict[str, Any], wait: float
) -> None:
    time, scene = played(moves)
    time += wait
    before, after = scene.shot_at(time, 1), scene.changed(time, patch).shot_at(time, 1)
    assert after.brightness == pytest.approx(before.brightness)
    if len(before.prompts) <= MOST_MIXED - 8 and len(scene.walkers_at(time)) <= 8:
        assert distance(before, after) < 1e-9


@given(steps)
def test_every_moment_of_every_fade_is_a_valid_shot(
    moves: list[tuple[float, dict[str, Any]]],
) -> None:
    time, scene = played(moves)
    for later in (0, 0.01, 0.5, 3, 20, 100):
        shot = scene.shot_at(time + later, 1)  # Shot checks itself
        assert len(shot.prompts) <= MOST_MIXED
    assert scene.fade_at(time + 20) is None


@given(steps, st.floats(0, 10), st.floats(0, 1e6))
def test_another_process_continues_every_fade(
    moves: list[tuple[float, dict[str, Any]]], later: float, clock: float
) -> None:
    time, scene = played(moves)
    found = json.loads(json.dumps(scene_json.to_json(scene, time), allow_nan=False))
    again = scene_json.from_json(found, clock)
    one, other = scene.shot_at(time + later, 7), again.shot_at(clock + later, 7)
    assert distance(one, other) < 1e-5
    assert other.brightness == pytest.approx(one.brightness, abs=1e-6)


@given(steps, st.floats(0, 10))
def test_what_is_on_screen_can_be_kept(
    moves: list[tuple[float, dict[str, Any]]], later: float
) -> None:
    time, scene = played(moves)
    time += later
    kept = replace(scene.settled(time), motion="hold")
    if len(scene.walkers_at(time)) <= 8:
        shown = scene.shot_at(time, 1)
        assert distance(kept.shot_at(time + 99, 1), shown) < 1e-9


def test_a_change_of_one_aspect_does_not_cut_short_the_fade_of_another() -> None:
    fading = START.changed(0.0, {"prompt": "two", "fade_s": 8, "easing": "linear"})
    moved = fading.changed(2.0, {"speed": 1.0})
    assert moved.words_at(4.0) == fading.words_at(4.0) == (("one", 0.5), ("two", 0.5))


def test_a_new_seed_fades_in_while_both_walks_go_on() -> None:
    scene = START.changed(0.0, {"seed": 1000, "fade_s": 2, "easing": "linear"})
    shot = scene.shot_at(1.0, 1)
    assert {seed > 500 for seed, _ in shot.noise} == {True, False}
    assert scene.shot_at(2.0, 1).noise == ((1001, 1.0),)


def test_a_speed_that_fades_moves_by_its_integral() -> None:
    scene = Scene.single("x", speed=0.0).changed(0.0, {"speed": 2, "fade_s": 4, "easing": "linear"})
    assert scene.phase_at(4.0) == pytest.approx(4.0)
    assert scene.phase_at(5.0) == pytest.approx(6.0)
    steps = 100_000
    for easing in EASINGS:
        scene = Scene.single("x", speed=1).changed(
            0.0, {"motion": "hold", "fade_s": 3, "easing": easing}
        )
        total = sum(scene.speed_at(3 * step / steps) for step in range(steps)) * 3 / steps
        assert scene.phase_at(3.0) == pytest.approx(total, rel=1e-4)
        assert scene.phase_at(9.0) == scene.phase_at(3.0)


def test_a_thousand_changes_in_the_middle_of_fades_stay_small() -> None:
    scene = START
    for number in range(1000):
        patch = {"prompt": f"words {number}", "seed": number, "fade_s": 5}
        scene = scene.changed(number * 0.005, patch)
    assert len(scene.shot_at(5.0, 1).prompts) <= MOST_MIXED
    assert len(scene.walkers_at(5.0)) <= 9
    assert len(json.dumps(scene_json.to_json(scene, 5.0))) < 4000


@pytest.mark.parametrize("easing", EASINGS)
def test_a_position_rises_from_0_to_1(easing: str) -> None:
    spacing = ((0.0, 0.0), (0.25, 0.5), (0.75, 0.5), (1.0, 1.0)) if easing == "even" else ()
    fade = Fade(10.0, 4.0, easing, spacing)
    found = [fade.position(10 + step / 25) for step in range(-10, 120)]
    assert found == sorted(found)
    assert (found[0], fade.position(12.0), found[-1]) == (0.0, 0.5, 1.0)


def test_a_recipe_becomes_a_scene_that_holds_its_picture() -> None:
    shot = START.changed(0.0, {"prompt": "two", "seed": 99, "fade_s": 2}).shot_at(0.7, 5)
    scene = scene_of(shot, like=Scene.single("like", speed=3, width=64, height=64))
    assert (scene.shot_at(50.0, 1).prompts, scene.shot_at(50.0, 1).noise) == (
        shot.prompts,
        shot.noise,
    )
    assert (scene.motion, scene.speed, scene.width) == ("hold", 3, 64)
    noise = tuple((seed, 0.1) for seed in range(100))
    with pytest.raises(SceneError, match="100 seeds"):
        scene_of(replace(shot, noise=noise), like=START)


def test_a_held_recipe_of_many_seeds_is_kept_exactly() -> None:
    noise = tuple((seed, 0.25) for seed in range(16))
    scene = scene_of(Shot((("two", 1.0),), noise), like=START)
    kept = scene_json.to_json(scene.settled(5.0), 5.0)
    assert scene_json.from_json(kept, 7.0).shot_at(9.0, 1).noise == noise
    assert START.recalled(scene, 1.0, 2.0, "smooth").settled(4.0).shot_at(4.0, 1).noise == noise


def test_a_fade_to_a_recipe_of_many_prompts_has_no_more_of_them_than_a_shot() -> None:
    many = tuple((f"a {number}", 1 / MOST_MIXED) for number in range(MOST_MIXED))
    recipe = scene_of(Shot(many, ((5, 1.0),)), like=START)
    others = [{"text": f"b {number}", "weight": 1} for number in range(8)]
    scene = START.changed(0.0, {"prompts": others}).recalled(recipe, 1.0, 4.0, "smooth")
    assert scene.shot_at(5.0, 1).prompts == many
    for time in (1.0, 2.0, 3.0, 4.0, 4.999):
        assert len(scene.shot_at(time, 1).prompts) <= MOST_MIXED
        kept = scene_json.to_json(scene.settled(time), time)
        assert scene_json.from_json(kept, time).shot_at(time, 1) == scene.shot_at(time, 1)
    back = scene.recalled(START, 3.0, 4.0, "smooth").changed(4.0, {"prompts": others, "fade_s": 4})
    assert len(back.shot_at(5.0, 1).prompts) <= MOST_MIXED


@pytest.mark.parametrize(
    "wrong",
    [
        {"fades": []},
        {"fades": {"colour": {}}},
        {"fades": {"words": {}}},
        {"fades": {"speed": {"from": 9, "seconds": 1, "elapsed_s": 0}}},
        {"fades": {"speed": {"from": 1, "seconds": -1, "elapsed_s": 0}}},
        {"fades": {"speed": {"from": 1, "seconds": 1, "elapsed_s": math.inf}}},
        {"fades": {"speed": {"from": 1, "seconds": 1, "elapsed_s": 0, "easing": "x"}}},
        {"fades": {"speed": {"from": 1, "seconds": 1, "elapsed_s": 0, "spacing": [[0, 0]]}}},
        {
            "fades": {
                "speed": {"from": 1, "seconds": 1, "elapsed_s": 0, "spacing": [[1, 1], [0, 0]]}
            }
        },
        {"fades": {"speed": {"from": 1, "seconds": 1, "elapsed_s": 0, "speed": 1}}},
        {"fades": {"words": {"from": [["a", 0]], "seconds": 1, "elapsed_s": 0}}},
        {"fades": {"noise": {"from": [[1, 2]], "seconds": 1, "elapsed_s": 0}}},
        {"walkers": []},
        {"walkers": [[1, 0, 0]]},
        {"walkers": [[1, 0, 1e-200]]},
        {"walkers": [[1, 0, 0.5], [1, 0, -0.5]]},
        {"walkers": [[1, 0, 2]]},
        {"walkers": [[-1, 0, 1]]},
        {"walkers": [[1, 0, 1]] * 33},
        {"prompts": {"a": 1}},
        {"prompts": [["a"]]},
        {"prompts": [["a", 1]] * 17},
        {"brightness": 2},
    ],
)
def test_an_invalid_scene_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SceneError, match=r"^[A-Z][^\n]*\.$"):
        scene_json.from_json({**scene_json.to_json(START, 0.0), **wrong}, 0.0)
