"""Adapters: LORAS's text, and weights that fade with the scene."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stream.clock import Clock
from turbostream.stream import scene_json
from turbostream.stream.adapters import STEPS_PER_S, Adapter, AdapterError, SteppedAdapters, parse
from turbostream.stream.channel import Channel
from turbostream.stream.held_shot import scene_of
from turbostream.stream.parameters import PARAMETERS, check_value, load_adapters
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import SceneError
from turbostream.stream.shot import Adapters, Shot
from turbostream.stream.shot_json import from_json, to_json

BOTH = (("ink", 0.8), ("pixel", 0.0))


def scene(adapters: Adapters = BOTH) -> Scene:
    return Scene(prompts=(("a heart", 1.0),), adapters=adapters)


@pytest.mark.parametrize(("text", "found"), [
    ("none", ()),
    ("ink=~/ink.safetensors", (Adapter("ink", "~/ink.safetensors", 1.0),)),
    ("ink=/a b/größe.safetensors@0.5", (Adapter("ink", "/a b/größe.safetensors", 0.5),)),
    ("ink=a@b.safetensors", (Adapter("ink", "a@b.safetensors", 1.0),)),
    ("ink=a, b.safetensors", (Adapter("ink", "a, b.safetensors", 1.0),)),
    ("ink=o/r@main@2,p-x_1=o/r:f.safetensors",
     (Adapter("ink", "o/r@main", 2.0), Adapter("p-x_1", "o/r:f.safetensors", 1.0))),
    ("ink=o/r@3@0", (Adapter("ink", "o/r@3", 0.0),)),
    ("ink=o/r@0.12345", (Adapter("ink", "o/r", 0.123),)),
])  # fmt: skip
def test_a_place_may_hold_whatever_paths_and_hub_ids_do(text: str, found: Any) -> None:
    assert parse(text) == found


@pytest.mark.parametrize(("text", "clause"), [
    ("ink", "does not begin with a name"),
    ("i.k=a", "does not begin with a name"),
    ("=a", "does not begin with a name"),
    (f"{'i' * 33}=a", "does not begin with a name"),
    ("ink=", "neither a path nor a hub id"),
    ("ink=@1", "neither a path nor a hub id"),
    ("ink=a@2.1", "weights are 0 to 2"),
    ("ink=a@-1", "weights are 0 to 2"),
    ("ink=a,ink=b", "named twice"),
    (",".join(f"a{number}=a" for number in range(9)), "there are 9, and 8 is the most"),
])  # fmt: skip
def test_a_wrong_entry_is_named(text: str, clause: str) -> None:
    with pytest.raises(AdapterError, match=clause):
        parse(text)


def test_weights_fade_and_reach_their_target() -> None:
    changed = scene().changed(10.0, {"adapters": {"pixel": 1.0}, "fade_s": 2, "easing": "linear"})
    at = {time: changed.shot_at(time, 1).adapters for time in (10.0, 11.0, 11.5, 12.0)}
    assert at == {
        10.0: (("ink", 0.8),),
        11.0: (("ink", 0.8), ("pixel", 0.5)),
        11.5: (("ink", 0.8), ("pixel", 0.75)),
        12.0: (("ink", 0.8), ("pixel", 1.0)),
    }
    assert changed.fade_at(11.0) is not None
    assert changed.without_fades().shot_at(10.0, 1).adapters == at[12.0]
    assert changed.settled(11.5).shot_at(11.5, 1).adapters == at[11.5]
    again = changed.changed(11.0, {"adapters": {"pixel": 0}, "fade_s": 2, "easing": "linear"})
    assert again.shot_at(12.0, 1).adapters == (("ink", 0.8), ("pixel", 0.25))


def test_weights_of_a_shot_have_three_digits_and_are_not_zero() -> None:
    shown = scene().changed(0.0, {"adapters": {"ink": 1 / 3, "pixel": 0.0004}}).shot_at(0.0, 1)
    assert shown.adapters == (("ink", 0.333),)


WRONG = ({"ink": 2.1}, {"ink": "1"}, {"ink": True}, {"i.k": 1}, [], 3, {"ink": float("nan")},
         dict.fromkeys("abcdefghi", 1))  # fmt: skip


@pytest.mark.parametrize("value", WRONG)
def test_wrong_weights_change_nothing(value: object) -> None:
    with pytest.raises(SceneError):
        scene().changed(0.0, {"adapters": value})


def test_a_look_has_its_weights_and_those_it_lacks_are_zero() -> None:
    recalled = scene().recalled(scene((("pixel", 1.5),)), 5.0, 0.0, "smooth")
    assert recalled.shot_at(5.0, 1).adapters == (("pixel", 1.5),)
    assert scene().recalled(scene(()), 5.0, 0.0, "smooth").shot_at(5.0, 1).adapters == ()


def test_files_keep_weights_and_their_fade() -> None:
    fading = scene().changed(10.0, {"adapters": {"pixel": 1.0}, "fade_s": 2})
    again = scene_json.from_json(json.loads(json.dumps(scene_json.to_json(fading, 11.0))), 111.0)
    assert again.shot_at(111.5, 1).adapters == fading.shot_at(11.5, 1).adapters
    shot = fading.shot_at(11.5, 1)
    assert from_json(to_json(shot)) == shot
    assert scene_json.to_json(fading, 11.0)["version"] == scene_json.WITHOUT_GUIDANCE
    assert scene_of(shot, like=scene()).shot_at(0.0, 1).adapters == shot.adapters
    for broken in ({"adapters": [["ink", 1]]}, {"adapters": {"ink": 3}}):
        with pytest.raises(SceneError):
            scene_json.from_json({"prompt": "a heart", **broken}, 0.0)


def refuse_unknown(shot: Shot) -> None:
    if any(name not in dict(BOTH) for name, _ in shot.adapters):
        raise SceneError("not loaded")


def test_a_channel_refuses_unknown_names_but_not_looks_that_hold_some() -> None:
    clock = Clock()
    channel = Channel("main", scene(), clock=clock.monotonic)
    with pytest.raises(SceneError, match="not loaded"):
        channel.change({"adapters": {"other": 1.0}}, refuse_unknown)
    channel.recall(scene((("other", 1.0), ("ink", 0.5))))
    assert channel.take_shot().shot.adapters == (("ink", 0.5),)
    clock.now += 1
    channel.change({"prompt": "a star"}, refuse_unknown)
    channel.undo()
    channel.undo()
    assert channel.take_shot().shot.adapters == (("ink", 0.8),)


def test_a_weight_that_moves_sixty_times_a_second_reaches_frames_twelve_times() -> None:
    clock = Clock()
    channel = Channel("main", scene((("ink", 0.0),)), clock=clock.monotonic)
    seen = []
    for step in range(1, 61):
        clock.now = 100 + step / 60
        channel.change({"adapters": {"ink": step / 60}})
        seen.append(channel.take_shot().shot.adapters[0][1])
    assert seen[0] == 0.017, "the first move after a rest acts at once"
    assert seen == sorted(seen)
    assert 10 <= len(set(seen)) <= STEPS_PER_S
    clock.now += 1 / STEPS_PER_S
    assert channel.take_shot().shot.adapters == (("ink", 1.0),), "the last move is not lost"


def test_a_clock_that_is_set_back_stops_no_weight() -> None:
    stepped = SteppedAdapters()
    assert stepped.at(1000.0, (("ink", 0.5),)) == (("ink", 0.5),)
    assert stepped.at(10.0, (("ink", 0.6),)) == (("ink", 0.6),)
    assert stepped.at(10.0, (("ink", 0.7),)) == (("ink", 0.6),)


def test_a_scene_of_an_earlier_start_gets_the_adapters_that_it_does_not_know() -> None:
    channel = Channel("main", scene((("ink", 0.8), ("new", 1.2))))
    channel.resume(lambda now: scene((("ink", 0.3), ("gone", 1.0))))
    assert channel.take_shot().shot.adapters == (("ink", 0.3), ("new", 1.2))


@pytest.fixture
def rows() -> Iterator[None]:
    load_adapters("ink=a@0.8,pixel=b")
    yield
    load_adapters("none")


@pytest.mark.usefixtures("rows")
def test_each_adapter_is_a_row_of_the_parameter_table() -> None:
    row = PARAMETERS["lora_ink"]
    assert (row.kind, row.low, row.high, row.default) == ("continuous", 0.0, 2.0, 0.8)
    assert row.address == "/lora_ink"
    with pytest.raises(SceneError, match="from 0 to 2"):
        check_value("lora_ink", 2.5)
    load_adapters("none")
    assert not [name for name in PARAMETERS if name.startswith("lora_")]
