"""Scenes: what moves, how, and what is refused."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turbostream.stream.noise_path import path
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import SceneError, check_prompt
from turbostream.stream.shot import MAX_SEED
from turbostream.stream.shot_json import from_json, to_json

times = st.floats(0, 1e6)
speeds = st.floats(0, 4)
seeds = st.integers(0, MAX_SEED)


@given(times, speeds, seeds)
def test_the_same_moment_gives_the_same_shot(time: float, speed: float, seed: int) -> None:
    scene = Scene.single("words", speed=speed, seed=seed)
    assert scene.shot_at(time, 7) == scene.shot_at(time, 7)


def test_a_walk_at_one_seed_a_second_reaches_the_next_seed_after_one_second() -> None:
    scene = Scene.single("words", speed=1.0, seed=5)
    assert scene.shot_at(1.0, 1).noise == ((6, 1.0),)
    assert scene.shot_at(0.5, 1).noise == path(5, 0.5)


def test_hold_keeps_one_noise() -> None:
    scene = Scene.single("words", motion="hold")
    assert scene.shot_at(0, 1) == scene.shot_at(100, 99)


def test_fresh_takes_new_noise_for_every_frame() -> None:
    scene = Scene.single("words", motion="fresh")
    assert len({scene.shot_at(0, number).noise for number in range(100)}) == 100


@given(st.floats(0, 1000), speeds, speeds, st.sampled_from(["walk", "hold"]))
def test_a_change_on_the_way_does_not_jump(
    time: float, speed: float, other: float, motion: str
) -> None:
    scene = Scene.single("words", speed=speed)
    changed = scene.changed(time, {"prompt": "other", "speed": other, "motion": motion})
    assert changed.phase_at(time) == pytest.approx(scene.phase_at(time))


def test_a_new_seed_starts_its_walk_at_that_seed() -> None:
    scene = Scene.single("words", speed=1.0).changed(10.25, {"seed": 77})
    assert scene.shot_at(10.25, 1).noise == ((77, 1.0),)


def test_a_shot_of_a_scene_is_plain_data() -> None:
    shot = Scene.single("words", width=64).shot_at(1.5, 3)
    assert from_json(json.loads(json.dumps(to_json(shot)))) == shot


@pytest.mark.parametrize(
    "prompt",
    ["", "  ", "\n", "x" * 1001, "a\x00b", "a\x1b[31m", "\ud800", 7, None, ["red"], True],
)
def test_a_prompt_that_cannot_be_words_is_refused(prompt: object) -> None:
    with pytest.raises(SceneError):
        check_prompt(prompt)


@given(st.text(max_size=1000))
def test_a_prompt_is_either_clean_or_refused(text: str) -> None:
    try:
        prompt = check_prompt(text)
    except SceneError:
        return
    assert prompt == prompt.strip() != ""
    assert all(character >= " " for character in prompt)
    prompt.encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"speed": -1},
        {"speed": 4.1},
        {"speed": math.nan},
        {"speed": "fast"},
        {"speed": True},
        {"seed": -1},
        {"seed": 1.5},
        {"seed": 2**63},
        {"motion": "spin"},
        {"motion": ["walk"]},
        {"brightness": 1.1},
        {"fade_s": -1},
        {"fade_s": 600.5},
        {"fade_s": math.nan},
        {"easing": "bouncy"},
        {"prompts": []},
        {"prompts": "a red star"},
        {"prompts": [{"text": "a", "weight": 1}] * 1000},
        {"prompts": [{"text": "a", "weight": math.nan}]},
        {"prompts": [{"text": "a", "weight": math.inf}]},
        {"prompts": [{"text": "a", "weight": 10**400}]},
        {"prompts": [{"text": "a", "weight": -0.1}, {"text": "b"}]},
        {"prompts": [{"text": "a", "weight": 0}, {"text": "b", "weight": 0}]},
        {"prompts": [{"text": "a", "weight": True}]},
        {"prompts": [{"weight": 1}]},
        {"prompts": [{"text": "a", "strength": 1}]},
        {"prompts": ["a red star"]},
        {"prompts": [{"text": ""}]},
        {"prompt": "a", "prompts": [{"text": "b"}]},
        {"width": 64},
        {"phase": -1.0},
        {"phase": math.inf},
    ],
)
def test_a_wrong_change_is_refused_in_one_sentence(changes: dict[str, object]) -> None:
    with pytest.raises(SceneError, match=r"^[A-Z][^\n]*\.$"):
        Scene.single("words").changed(0, changes)
