"""Shots: what is valid, and their JSON form through its versions."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turbostream.stream.capabilities import Capabilities
from turbostream.stream.shot import (
    ENLARGING,
    MAX_SEED,
    EarlierFrame,
    InputPicture,
    Shot,
    ShotError,
    great_circle,
)
from turbostream.stream.shot_json import NewerShotError, from_json, to_json

SENTENCE = r"\A[A-Z][^\n]*\.\Z"
PICTURE = InputPicture("0123456789abcdef" * 4)
PLAIN = Shot.single("words", 7)
FULL = Shot(
    (("a red heart", 0.75), ("a blue star", 0.25)),
    ((7, 0.6), (8, -0.8)),
    PICTURE,
    0.5,
    4,
    (("ink", 0.8), ("paper", -1.5)),
    512,
    256,
    0.25,
    256,
    128,
    "noise",
    1.5,
    (("blurry", 0.75), ("", 0.25)),
)

texts = st.text(max_size=20)
seeds = st.integers(0, MAX_SEED)
weights = st.floats(1e-3, 1.0)


@st.composite
def shots(draw: st.DrawFn) -> Shot:
    """Any valid shot, with weights of all digits."""
    prompts = draw(st.dictionaries(texts, weights, min_size=1, max_size=8))
    noise = draw(st.dictionaries(seeds, weights, min_size=1, max_size=4))
    total, norm = sum(prompts.values()), math.sqrt(sum(w * w for w in noise.values()))
    picture = st.from_regex(r"\A[0-9a-f]{64}\Z").map(InputPicture)
    moves = [st.just(1.0) | st.floats(0.1, 10), st.just(0.0) | st.floats(-360, 360)]
    shift = st.just(0.0) | st.floats(-1, 1)
    frame = st.builds(EarlierFrame, st.integers(1, MAX_SEED), *moves, shift, shift)
    source = draw(st.none() | picture | frame)
    size = st.none() | st.integers(1, 16_384)
    side = st.integers(1, 16_384)
    base = st.just(()) | st.tuples(side, side, st.sampled_from(ENLARGING))
    return Shot(
        tuple((text, weight / total) for text, weight in prompts.items()),
        tuple((seed, weight / norm) for seed, weight in noise.items()),
        source,
        None if source is None else draw(st.floats(0, 1, exclude_min=True)),
        draw(st.none() | st.integers(1, 1000)),
        tuple(draw(st.dictionaries(texts, st.floats(0.1, 2) | st.floats(-2, -0.1))).items()),
        draw(size),
        draw(size),
        draw(st.just(1.0) | st.floats(0, 1)),
        *(draw(base) or (None, None, None)),
        *draw(st.sampled_from([(None, ()), (1.0, ()), (1.5, ()), (2.0, (("dull", 1.0),))])),
    )


@given(shots())
def test_a_shot_comes_back_from_json_exactly(shot: Shot) -> None:
    again = from_json(json.loads(json.dumps(to_json(shot))))
    assert again == shot
    assert repr(again) == repr(shot), "every digit"
    assert hash(again) == hash(shot)


def test_the_json_form_omits_defaults() -> None:
    assert to_json(PLAIN) == {"version": 2, "prompts": [["words", 1.0]], "noise": [[7, 1.0]]}
    assert to_json(replace(PLAIN, steps=1)) == {**to_json(PLAIN), "steps": 1}


def test_the_json_form_of_a_shot_that_uses_every_field() -> None:
    assert to_json(FULL) == {
        "version": 2,
        "prompts": [["a red heart", 0.75], ["a blue star", 0.25]],
        "noise": [[7, 0.6], [8, -0.8]],
        "source": {"picture": PICTURE.sha256},
        "strength": 0.5,
        "steps": 4,
        "adapters": [["ink", 0.8], ["paper", -1.5]],
        "width": 512,
        "height": 256,
        "brightness": 0.25,
        "base_width": 256,
        "base_height": 128,
        "enlarging": "noise",
        "guidance": 1.5,
        "negative": [["blurry", 0.75], ["", 0.25]],
    }
    assert from_json(to_json(FULL)) == FULL
    frame = replace(FULL, source=EarlierFrame(12))
    assert to_json(frame)["source"] == {"frame": 12}
    assert from_json(to_json(frame)) == frame
    moved = replace(frame, source=EarlierFrame(12, 1.25, -3, 0.0, 0.5))
    assert to_json(moved)["source"] == {
        "frame": 12,
        "zoom": 1.25,
        "rotation": -3.0,
        "shift_y": 0.5,
    }
    assert from_json(to_json(moved)) == moved


def test_a_weight_that_another_program_wrote_as_a_whole_number_is_the_same_shot() -> None:
    data = {"version": 2, "prompts": [["words", 1]], "noise": [[7, 1]]}
    assert from_json(data) == PLAIN
    assert to_json(from_json(data)) == to_json(PLAIN)
    assert to_json(from_json({**data, "brightness": 1})) == to_json(PLAIN)
    black = to_json(from_json({**data, "brightness": 0}))
    assert json.dumps(black["brightness"]) == "0.0"


@given(texts, seeds, seeds, st.floats(0, math.pi / 2))
def test_version_1_is_read_as_the_point_between_two_seeds(
    prompt: str, first: int, second: int, angle: float
) -> None:
    second = second if second != first else second ^ 1
    data = {"prompt": prompt, "seed_from": first, "seed_to": second, "angle": angle}
    shot = from_json(json.loads(json.dumps({**data, "width": None, "height": 64})))
    assert shot == Shot(((prompt, 1.0),), great_circle(first, second, angle), height=64)
    assert from_json(data) == replace(shot, height=None)


def test_at_angle_0_the_noise_is_the_first_seed_alone() -> None:
    assert great_circle(3, 4, 0.0) == ((3, 1.0),)
    assert great_circle(3, 4, 0.5) == ((3, math.cos(0.5)), (4, math.sin(0.5)))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"version": 3}, "version 3"),
        ({"version": 10**30}, "version 1000"),
        ({"version": 3, "prompts": 7}, "version 3"),
        ({"sharpness": 1.0}, "'sharpness'"),
        ({"": 1.0}, "''"),
        ({"prompt": "words"}, "'prompt'"),
        ({"\ud800" * 100: 1}, "ud800"),
        ({"source": {"frame": 1, "blur": 2.0}, "strength": 0.5}, "'blur'"),
    ],
)
def test_a_newer_shot_is_refused_in_one_sentence_that_names_the_field(
    change: dict[str, Any], named: str
) -> None:
    with pytest.raises(NewerShotError, match=SENTENCE) as found:
        from_json({**to_json(PLAIN), **change})
    assert named in str(found.value)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"version": 0}, "version"),
        ({"version": True}, "version"),
        ({"version": "2"}, "version"),
        ({"version": None}, "version"),
        ({"prompts": []}, "prompts"),
        ({"prompts": "words"}, "prompts"),
        ({"prompts": [["words"]]}, "prompts"),
        ({"prompts": ["ab"]}, "prompts"),
        ({"prompts": [[7, 1.0]]}, "prompts"),
        ({"prompts": [["words", "1"]]}, "prompts"),
        ({"prompts": [["words", True]]}, "prompts"),
        ({"prompts": [["words", math.nan]]}, "prompts"),
        ({"prompts": [["words", 10**400]]}, "prompts"),
        ({"prompts": [["words", 0.5]]}, "prompts"),
        ({"prompts": [["a", 2.0], ["b", -1.0]]}, "prompts"),
        ({"prompts": [["a", 1.0], ["b", 0.0]]}, "prompts"),
        ({"prompts": [["a", 0.5], ["a", 0.5]]}, "prompts"),
        ({"noise": [[7, 0.5]]}, "noise"),
        ({"noise": [[7, 1e200]]}, "noise"),
        ({"noise": [[7, math.inf]]}, "noise"),
        ({"noise": [["7", 1.0]]}, "noise"),
        ({"noise": [[7.0, 1.0]]}, "noise"),
        ({"noise": [[[], 1.0]]}, "noise"),
        ({"noise": [[True, 1.0]]}, "seed"),
        ({"noise": [[-1, 1.0]]}, "seed"),
        ({"noise": [[2**63, 1.0]]}, "seed"),
        ({"noise": [[7, 0.6], [7, 0.8]]}, "noise"),
        ({"source": {"picture": "abc"}, "strength": 0.5}, "source"),
        ({"source": {"picture": 7}, "strength": 0.5}, "source"),
        ({"source": {"frame": 0}, "strength": 0.5}, "source"),
        ({"source": {"frame": 1, "picture": "0" * 64}, "strength": 0.5}, "source"),
        ({"source": "a file", "strength": 0.5}, "source"),
        ({"source": {"picture": "0" * 64, "zoom": 2.0}, "strength": 0.5}, "source"),
        ({"source": {"zoom": 2.0}, "strength": 0.5}, "source"),
        ({"source": {"frame": 1, "zoom": 0.0}, "strength": 0.5}, "zoom"),
        ({"source": {"frame": 1, "zoom": True}, "strength": 0.5}, "zoom"),
        ({"source": {"frame": 1, "rotation": 361}, "strength": 0.5}, "rotation"),
        ({"source": {"frame": 1, "rotation": "left"}, "strength": 0.5}, "rotation"),
        ({"source": {"frame": 1, "shift_x": math.nan}, "strength": 0.5}, "shift_x"),
        ({"source": {"frame": 1, "shift_y": -1.01}, "strength": 0.5}, "shift_y"),
        ({"source": {"frame": 1}}, "strength"),
        ({"strength": 0.5}, "strength"),
        ({"source": {"frame": 1}, "strength": 0.0}, "strength"),
        ({"source": {"frame": 1}, "strength": 1.1}, "strength"),
        ({"source": {"frame": 1}, "strength": math.nan}, "strength"),
        ({"source": {"frame": 1}, "strength": "all"}, "strength"),
        ({"steps": 0}, "steps"),
        ({"steps": 1.0}, "steps"),
        ({"steps": 1001}, "steps"),
        ({"adapters": {"ink": 1.0}}, "adapters"),
        ({"adapters": [["ink", 0]]}, "adapters"),
        ({"adapters": [["ink", 1.0], ["ink", 0.5]]}, "adapters"),
        ({"width": 0}, "width"),
        ({"height": True}, "height"),
        ({"height": 16_385}, "height"),
        ({"base_width": 256}, "base_width"),
        ({"enlarging": "noise"}, "base_width"),
        ({"base_width": 256, "base_height": 0, "enlarging": "noise"}, "base_height"),
        ({"base_width": 256, "base_height": 256, "enlarging": "magic"}, "pixels, noise"),
        ({"base_width": 256, "base_height": 256, "enlarging": ["noise"]}, "pixels, noise"),
        ({"brightness": -0.01}, "brightness"),
        ({"brightness": 1.01}, "brightness"),
        ({"brightness": math.nan}, "brightness"),
        ({"brightness": True}, "brightness"),
        ({"brightness": "1"}, "brightness"),
        ({"brightness": None}, "brightness"),
        ({"guidance": 0.5}, "guidance"),
        ({"guidance": 20.1}, "guidance"),
        ({"guidance": True}, "guidance"),
        ({"negative": [["dull", 1.0]]}, "guidance"),
        ({"guidance": 1, "negative": [["dull", 1.0]]}, "guidance"),
        ({"guidance": 2, "negative": "dull"}, "negative"),
        ({"guidance": 2, "negative": [["dull", 0.5]]}, "negative"),
        ({"guidance": 2, "negative": [["dull", 1.5], ["grey", -0.5]]}, "negative"),
    ],
)
def test_an_invalid_shot_is_refused_in_one_sentence_that_names_the_field(
    change: dict[str, Any], named: str
) -> None:
    with pytest.raises(ShotError, match=SENTENCE) as found:
        from_json({**to_json(PLAIN), **change})
    assert named in str(found.value)
    assert not isinstance(found.value, NewerShotError)


@pytest.mark.parametrize(
    "data",
    [
        *(None, 7, "words", [], {}, {"version": 2}),
        {"version": 2, "prompts": [["words", 1.0]]},
        {"prompt": "words", "seed_from": 0, "seed_to": 1},
        {"prompt": "words", "seed_from": 0, "seed_to": 1, "angle": 4.0},
        {"prompt": "words", "seed_from": 0, "seed_to": 1, "angle": math.nan},
        {"prompt": "words", "seed_from": 0, "seed_to": 0, "angle": 0.3},
        {"prompt": "words", "seed_from": "0", "seed_to": 1, "angle": "0"},
        {"prompt": None, "seed_from": 0, "seed_to": 1, "angle": 0},
        {"prompt": "words", "seed_from": 0, "seed_to": 1, "angle": 0, "steps": 1},
    ],
)
def test_what_no_version_writes_is_refused_in_one_sentence(data: object) -> None:
    with pytest.raises(ShotError, match=SENTENCE):
        from_json(data)


def test_the_prompt_for_messages_is_the_one_of_the_greatest_weight() -> None:
    assert FULL.prompt == "a red heart"
    assert PLAIN.prompt == "words"


@pytest.mark.parametrize(
    "change",
    [
        {"prompts": (("a", 0.5), ("b", 0.5))},
        {"source": PICTURE, "strength": 0.5},
        {"source": EarlierFrame(1), "strength": 0.5},
        {"steps": 2},
        {"adapters": (("ink", 1.0),)},
        {"guidance": 1.5},
        {"guidance": 2.0, "negative": (("dull", 1.0),)},
        {"base_width": 256, "base_height": 256, "enlarging": "noise"},
    ],
)
def test_an_engine_refuses_what_it_does_not_declare(change: dict[str, Any]) -> None:
    shot = replace(PLAIN, **change)
    with pytest.raises(ShotError, match=SENTENCE):
        Capabilities(steps=(1,)).check(shot)
    able = Capabilities(
        2, sources=True, steps=range(5), adapters={"ink"}, enlarging=ENLARGING, guidance=1.0,
        negative=True,
    )  # fmt: skip
    able.check(shot)


def test_every_engine_takes_any_noise_and_the_steps_that_it_declares() -> None:
    noise = ((1, 0.6), (2, 0.64), (3, 0.48))
    Capabilities().check(replace(PLAIN, noise=noise, width=64, height=64))
    Capabilities(steps=(1,)).check(replace(PLAIN, steps=1))
