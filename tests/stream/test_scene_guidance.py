"""The guidance and the negative words of a scene."""

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
from turbostream.stream.shot_json import from_json, to_json

START = Scene.single("one", motion="hold", seed=3)
GUIDED = START.changed(0.0, {"guidance": 2, "negative": "dull"})
DULL = (("dull", 1.0),)
ABLE = Capabilities(guidance=1.0, negative=True)


def test_they_are_those_of_its_shots_and_absent_where_they_have_no_effect() -> None:
    shot = GUIDED.shot_at(0.0, 1)
    assert (shot.guidance, shot.negative) == (2.0, DULL)
    assert GUIDED.as_dict(0.0)["guidance"] == 2.0
    assert GUIDED.as_dict(0.0)["negative"] == "dull"
    for patch in ({"guidance": 1}, {"guidance": None}):
        assert GUIDED.changed(1.0, patch).shot_at(1.0, 2) == START.shot_at(1.0, 2)
    assert GUIDED.changed(1.0, {"negative": " "}).shot_at(1.0, 2).negative == ()
    assert START.changed(0.0, {"guidance": 8.5}).shot_at(0.0, 1, own_guidance=8.5).guidance is None


def test_both_fade() -> None:
    fading = START.changed(
        0.0, {"guidance": 3, "negative": "dull", "fade_s": 2, "easing": "linear"}
    )
    assert fading.shot_at(0.0, 1) == START.shot_at(0.0, 1)
    middle = fading.shot_at(1.0, 2)
    assert (middle.guidance, middle.negative) == (2.0, (("", 0.5), ("dull", 0.5)))
    assert fading.shot_at(1.0, 2, own_guidance=5.0).guidance == 4.0
    assert fading.shot_at(2.0, 3) == fading.without_fades().shot_at(2.0, 3)
    grey = fading.changed(1.0, {"negative": "grey", "fade_s": 2, "easing": "linear"})
    assert dict(grey.shot_at(2.0, 4).negative) == {"": 0.25, "dull": 0.25, "grey": 0.5}
    assert grey.shot_at(2.0, 4).guidance == 3.0, "its own fade was not cut short"
    assert fading.settled(1.0).shot_at(9.0, 5).negative == middle.negative


@pytest.mark.parametrize(
    ("patch", "sentence"),
    [
        *(
            ({"guidance": value}, r"^The guidance must be a number from 1 to 20\.$")
            for value in (0, 20.5, "2", True)
        ),
        ({"negative": ["dull"]}, r"^The negative words must be text\.$"),
        ({"negative": None}, r"^The negative words must be text\.$"),
        ({"negative": "a\0b"}, "control characters"),
    ],
)
def test_other_values_are_one_sentence(patch: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SceneError, match=sentence):
        START.changed(0.0, patch)


def test_a_file_keeps_them_and_one_without_them_is_of_the_version_before() -> None:
    fading = START.changed(0.0, {"guidance": 3, "negative": "dull", "fade_s": 2})
    leaving = GUIDED.changed(0.0, {"guidance": None, "negative": "", "fade_s": 2})
    for scene in (GUIDED, fading, leaving, fading.settled(1.0)):
        written = json.loads(json.dumps(scene_json.to_json(scene, 1.0)))
        assert written["version"] == scene_json.VERSION
        again = scene_json.from_json(written, 101.0)
        assert again.shot_at(101.5, 1) == scene.shot_at(1.5, 1)
    assert scene_json.to_json(leaving, 2.0)["version"] < scene_json.WITHOUT_GUIDANCE
    for wrong in ("dull", [["dull", 0]], [["dull", "1"]], [["a\0b", 1]], [[1, 1]]):
        with pytest.raises(SceneError, match=r"^[A-Z].*\.$"):
            scene_json.from_json({"version": 6, "prompt": "one", "negative": wrong}, 0.0)


def test_a_look_and_a_recipe_carry_them() -> None:
    look = Look.of("dawn", GUIDED, 0.0, None)
    recalled = START.recalled(look.scene, 1.0, 0.0, "smooth").shot_at(1.0, 1)
    assert (recalled.guidance, recalled.negative) == (2.0, DULL)
    assert look.scene.recalled(START, 1.0, 0.0, "smooth").shot_at(1.0, 1).guidance is None
    shot = START.changed(0.0, {"guidance": 2, "negative": "dull", "fade_s": 2}).shot_at(1.0, 1)
    assert scene_of(from_json(to_json(shot)), like=START).shot_at(5.0, 9) == shot


def test_a_model_without_guidance_refuses_both_in_a_sentence_and_nothing_changes() -> None:
    channel = Channel("main", START)
    channel.takes = Capabilities(steps=(1,))
    desk = Desk(channel, None, channel.takes.check)  # type: ignore[arg-type]
    for patch in ({"guidance": 1.5}, {"negative": "dull"}):
        with pytest.raises(ShotError, match=r"^The shot asks for guidance, which this model does"):
            desk.apply(patch)
    assert channel.scene.shot_at(0.0, 1) == channel.take_shot().shot
    desk.apply({"guidance": 1, "negative": ""})
    channel.recall(GUIDED)
    assert channel.take_shot().shot.guidance is None
    desk.apply({"prompt": "two"})  # what the look has is in nobody's way


def test_a_model_that_takes_guidance_as_an_input_refuses_negative_words() -> None:
    channel = Channel("main", START)
    channel.takes = Capabilities(guidance=8.5)
    desk = Desk(channel, None, channel.takes.check)  # type: ignore[arg-type]
    desk.apply({"guidance": 3})
    with pytest.raises(ShotError, match=r"^The shot has negative words, which this model does not"):
        desk.apply({"negative": "dull"})
    channel.recall(GUIDED)
    assert channel.take_shot().shot.negative == ()
    assert channel.take_shot().shot.guidance == 2.0


def test_a_model_with_guidance_takes_both_also_while_guidance_is_off() -> None:
    channel = Channel("main", START)
    channel.takes = ABLE
    desk = Desk(channel, None, ABLE.check)  # type: ignore[arg-type]
    desk.apply({"negative": "dull"})
    assert channel.take_shot().shot.guidance is None
    desk.apply({"guidance": 1.5})
    assert channel.take_shot().shot.negative == DULL
    desk.apply({"negative": ""})
    assert channel.take_shot().shot.negative == ()
