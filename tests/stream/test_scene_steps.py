"""The number of denoising steps of a scene."""

from __future__ import annotations

import json
from typing import Any

import pytest

from turbostream.stream import scene_json
from turbostream.stream.capabilities import Capabilities
from turbostream.stream.channel import Channel
from turbostream.stream.desk import Desk
from turbostream.stream.held_shot import scene_of
from turbostream.stream.looks import Look
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import SceneError
from turbostream.stream.shot import ShotError

START = Scene.single("one", motion="hold", seed=3)


def test_a_scenes_steps_are_those_of_its_shots() -> None:
    assert START.shot_at(0.0, 1).steps is None
    scene = START.changed(0.0, {"steps": 4, "fade_s": 5})
    assert scene.shot_at(0.0, 1).steps == 4
    assert scene.as_dict(0.0)["steps"] == 4
    assert scene.changed(1.0, {"speed": 1}).shot_at(1.0, 2).steps == 4
    assert scene.changed(1.0, {"steps": None}).shot_at(1.0, 2).steps is None


@pytest.mark.parametrize("value", [0, 5, 1.5, "2", True, [1]])
def test_other_numbers_are_one_sentence(value: Any) -> None:
    with pytest.raises(SceneError, match=r"^The steps must be a whole number from 1 to 4\.$"):
        START.changed(0.0, {"steps": value})


def test_a_file_keeps_the_steps_and_one_without_them_has_none() -> None:
    scene = START.changed(0.0, {"steps": 2})
    written = json.loads(json.dumps(scene_json.to_json(scene, 0.0)))
    assert written["version"] == scene_json.WITHOUT_GUIDANCE
    assert scene_json.from_json(written, 0.0).steps == 2
    plain = scene_json.to_json(START, 0.0)
    assert "steps" not in plain
    assert plain["version"] == scene_json.WITHOUT_SOURCE
    pictured = scene_json.to_json(START.changed(0.0, {"source": "picture"}), 0.0)
    assert pictured["version"] == scene_json.WITHOUT_STEPS
    assert scene_json.from_json(pictured, 0.0).steps is None


def test_a_look_and_a_recipe_carry_the_steps() -> None:
    look = Look.of("dawn", START.changed(0.0, {"steps": 3}), 0.0, None)
    assert START.recalled(look.scene, 1.0, 2.0, "smooth").steps == 3
    assert look.scene.recalled(START, 1.0, 2.0, "smooth").steps is None
    shot = look.scene.shot_at(0.0, 1)
    assert scene_of(shot, like=START).shot_at(0.0, 1).steps == 3


def test_steps_that_the_engine_cannot_take_are_refused_with_what_it_can() -> None:
    channel = Channel("main", START)
    desk = Desk(channel, None, Capabilities(steps=(1, 2)).check)  # type: ignore[arg-type]
    desk.apply({"steps": 2})
    before = channel.scene
    with pytest.raises(ShotError, match=r"^The shot asks for 4 steps, and .* takes 1 or 2\.$"):
        desk.apply({"steps": 4})
    assert channel.scene == before
    with pytest.raises(ShotError, match="takes only its own number"):
        Capabilities().check(START.changed(0.0, {"steps": 1}).shot_at(0.0, 1))


def test_an_engine_that_cannot_take_a_looks_steps_takes_its_own() -> None:
    channel = Channel("main", START.changed(0.0, {"steps": 4}))
    assert channel.take_shot().shot.steps == 4
    channel.takes = Capabilities(steps=(1, 2))
    assert channel.take_shot().shot.steps is None
    channel.change({"prompt": "two"}, channel.takes.check)  # the look's steps are in nobody's way
    channel.takes = Capabilities(steps=(1, 4))
    assert channel.take_shot().shot.steps == 4
