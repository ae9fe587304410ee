"""What a process leaves to the next one, and which of both scenes counts."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turbostream.stream.resume import left, resumed
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import MAX_PHASE, SceneError
from turbostream.stream.scene_json import VERSION as JSON_VERSION
from turbostream.stream.scene_json import WITHOUT_SOURCE, from_json, to_json
from turbostream.stream.shot import MAX_SEED

INITIAL = Scene.single("first words")
PLAYED = Scene.single("typed", motion="walk", speed=1.5, seed=77, phase=2.25, anchored_at=100.0)


def later(found: dict[str, object]) -> dict[str, object]:
    """As it comes back from a file or a socket."""
    copy: dict[str, object] = json.loads(json.dumps(found, allow_nan=False))
    return copy


@given(
    st.floats(0, 1e6), st.floats(0, 4), st.integers(0, MAX_SEED), st.floats(0, 1e6),
    st.floats(0, 1e9), st.sampled_from(["walk", "hold", "fresh"]),
)  # fmt: skip
def test_the_noise_goes_on_where_it_was_on_a_clock_of_another_process(
    time: float, speed: float, seed: int, phase: float, other: float, motion: str
) -> None:
    scene = Scene.single("words", motion, speed, seed, phase=phase, anchored_at=time / 2)
    again = from_json(later(to_json(scene, time)), other)
    assert again.phase_at(other) == scene.phase_at(time)
    assert again.shot_at(other, 9) == scene.shot_at(time, 9)


def test_the_form_holds_no_clock_and_leaves_out_what_is_the_models_own() -> None:
    assert to_json(PLAYED, 102.0) == {
        "version": WITHOUT_SOURCE,
        "prompt": "typed",
        "motion": "walk",
        "speed": 1.5,
        "seed": 77,
        "phase": 5.25,
        "beat": 204.0,
    }
    assert to_json(Scene.single("x", width=256, height=512), 0)["height"] == 512


def test_what_was_played_goes_on_at_a_restart_and_at_a_handover() -> None:
    for restart in (True, False):
        again = resumed(later(left(PLAYED, INITIAL, 102.0)), INITIAL, 7.0, restart)
        assert again.as_dict(7.0) == PLAYED.as_dict(102.0)
        assert again.phase_at(7.0) == PLAYED.phase_at(102.0)


def test_another_initial_prompt_counts_at_a_restart_alone() -> None:
    found, edited = left(PLAYED, INITIAL, 102.0), Scene.single("edited words")
    restarted = resumed(found, edited, 0.0, restart=True)
    assert (restarted.prompt, restarted.seed, restarted.phase_at(0.0)) == ("edited words", 77, 5.25)
    assert resumed(found, edited, 0.0, restart=False).prompt == "typed"


def test_words_that_nobody_typed_give_way_to_the_new_processes_own() -> None:
    found = left(INITIAL.changed(0.0, {"speed": 3}), INITIAL, 1.0)
    for restart in (True, False):
        again = resumed(found, Scene.single("edited words"), 0.0, restart)
        assert (again.prompt, again.speed) == ("edited words", 3.0)


def test_words_typed_before_stay_when_the_initial_prompt_is_given_again() -> None:
    """As a supervisor does that starts the program with the same environment after a crash."""
    assert resumed(left(PLAYED, INITIAL, 1.0), INITIAL, 0.0, restart=True).prompt == "typed"


@pytest.mark.parametrize(
    ("seed_in_force", "restart", "seed", "phase"),
    [(77, True, 5, 0.0), (77, False, 77, 5.25), (0, True, 5, 0.0), (0, False, 5, 0.0)],
)
def test_another_seed_setting_begins_its_own_walk_unless_somebody_chose_one_on_the_way(
    seed_in_force: int, restart: bool, seed: int, phase: float
) -> None:
    scene = Scene.single("typed", speed=1.5, seed=seed_in_force, phase=2.25, anchored_at=100.0)
    again = resumed(left(scene, INITIAL, 102.0), Scene.single("first words", seed=5), 0.0, restart)
    assert (again.seed, again.phase_at(0.0)) == (seed, phase)


@pytest.mark.parametrize(
    ("before", "in_force", "now", "restart", "source"),
    [
        ("picture", "none", "picture", True, "none"),  # switched off, and the same SOURCE
        ("picture", "feedback", "picture", False, "feedback"),
        ("none", "feedback", "picture", True, "picture"),  # SOURCE is new
        ("none", "feedback", "picture", False, "feedback"),
        ("none", "none", "picture", False, "picture"),
        ("picture", "picture", "none", True, "none"),
        ("none", "picture", "none", True, "picture"),
    ],
)
def test_a_source_that_somebody_chose_stays_unless_the_setting_is_new(
    before: str, in_force: str, now: str, restart: bool, source: str
) -> None:
    found = left(replace(PLAYED, source=in_force), replace(INITIAL, source=before), 102.0)
    again = resumed(later(found), replace(INITIAL, source=now), 0.0, restart)
    assert again.source == source


def test_the_size_is_always_the_new_processes_own() -> None:
    found = left(Scene.single("typed", width=512, height=512), INITIAL, 0.0)
    assert resumed(found, INITIAL, 0.0, restart=True).width is None
    again = resumed(found, Scene.single("first words", width=256, height=128), 0.0, restart=False)
    assert (again.width, again.height) == (256, 128)


def test_a_program_from_before_this_format_is_understood_and_understands() -> None:
    old = {"motion": "hold", "speed": 0.5, "seed": 9}  # nobody typed any words there
    again = resumed(old, INITIAL, 3.0, restart=False)
    assert (again.prompt, again.motion, again.seed, again.phase_at(3.0)) == (
        "first words",
        "hold",
        9,
        0.0,
    )
    assert resumed({**old, "prompt": "typed"}, INITIAL, 3.0, restart=False).prompt == "typed"
    for scene in (PLAYED, INITIAL):
        found = left(scene, INITIAL, 0.0)
        assert {"motion", "speed", "seed"} <= set(found)
        assert ("prompt" in found) == (scene is PLAYED)


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": JSON_VERSION + 1},
        {"version": 0},
        {"version": True},
        {"version": "1"},
        {"version": 1.5},
        {"phase": -1},
        {"phase": math.nan},
        {"phase": math.inf},
        {"phase": 2 * MAX_PHASE},
        {"phase": "2"},
        {"phase": True},
        {"speed": math.nan},
        {"seed": 2**63},
        {"seed": None},
        {"motion": "spin"},
        {"prompt": ""},
        {"prompt": "a\x00b"},
        {"prompt": ["a"]},
        {"width": 0},
        {"height": 1e9},
        {"adapters": []},
        {"initial": 7},
        {"initial": None},
    ],
)
def test_anything_else_is_refused_in_one_sentence(wrong: dict[str, object]) -> None:
    for restart in (True, False):
        with pytest.raises(SceneError, match=r"^[A-Z][^\n]*\.$"):
            resumed({**left(PLAYED, INITIAL, 0.0), **wrong}, INITIAL, 0.0, restart)


@pytest.mark.parametrize("wrong", [None, [], "scene", 7, True])
def test_what_is_no_object_is_refused_too(wrong: object) -> None:
    with pytest.raises(SceneError):
        resumed(wrong, INITIAL, 0.0, restart=True)
    with pytest.raises(SceneError):
        from_json(wrong, 0.0)


def test_what_the_scene_began_with_may_be_anything() -> None:
    """It is compared and never used."""
    found = {**left(PLAYED, INITIAL, 0.0), "initial": {"prompt": ["x"], "seed": {}}}
    assert resumed(found, INITIAL, 0.0, restart=True).prompt == "first words"
