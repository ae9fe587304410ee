"""The shot of a frame by its number, a recipe put in force, and the revision in the stream."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.web.answers import error_of
from tests.web.reader import read_parts
from turbostream.stream.held_shot import scene_of
from turbostream.stream.scene import Scene
from turbostream.stream.shot_json import VERSION, to_json
from turbostream.web.context import AppContext
from turbostream.web.live.multipart import BOUNDARY

SHOT = Scene.single("a red heart", seed=70, phase=0.4).shot_at(0.0, 1)
SIMPLE: dict[str, Any] = {"version": VERSION, "prompts": [["a", 1.0]], "noise": [[1, 1.0]]}


def test_every_part_carries_the_revision(client: FlaskClient, context: AppContext) -> None:
    response = client.get("/stream", buffered=False)
    stream = read_parts(response.response, BOUNDARY)
    assert next(stream).revision == context.channel.revision
    client.patch("/scene", json={"speed": 1.5})
    context.channel.touch()
    wanted = context.channel.revision
    assert wanted >= 2
    assert any(part.revision == wanted for part in (next(stream) for _ in range(5)))
    response.close()


@pytest.mark.parametrize("number", ["0", "99999999", "-1", "1.5", "x", "9" * 5000, "%E2%91%A0"])
def test_a_frame_that_is_not_kept_is_404(client: FlaskClient, number: str) -> None:
    error_of(client.get(f"/frames/{number}/shot"), 404)


def test_a_recipe_paints_the_same_picture_again(client: FlaskClient, context: AppContext) -> None:
    brightness = client.patch("/scene", json={"brightness": 0.5}).json["brightness"]
    answer = client.post("/recipe", json={"shot": to_json(SHOT), "fade_s": 0})
    assert answer.status_code == 200
    assert (answer.json["prompt"], answer.json["motion"]) == ("a red heart", "hold")
    assert answer.json["brightness"] == brightness == 0.5
    assert answer.json["revision"] == context.channel.revision
    number, shot, _ = context.channel.take_shot()
    assert number > answer.json["frame"]
    assert (shot.prompts, shot.noise) == (SHOT.prompts, SHOT.noise)


def test_a_recipe_of_a_blend_paints_exactly_that_blend(
    client: FlaskClient, context: AppContext
) -> None:
    for first in range(1, 100):  # each weight rounds in its own way
        mix = (("one", first / 7), ("two", 1.0), ("three", 0.3))
        shot = Scene(mix).shot_at(0.0, 1)
        context.channel.recall(scene_of(shot, like=context.channel.scene), 0.0)
        assert context.channel.take_shot()[1].prompts == shot.prompts


def test_a_recipe_may_fade_in(client: FlaskClient) -> None:
    answer = client.post("/recipe", json={"shot": to_json(SHOT), "fade_s": 60})
    assert answer.json["fade"]["left_s"] == pytest.approx(60, abs=5)


def test_a_picture_of_another_model_is_recalled_with_a_warning(client: FlaskClient) -> None:
    client.get("/snapshot.jpg")  # the engine is open
    for fingerprint, warned in (("", False), ("colour jpeg-9", False), ("sd-turbo@1 x", True)):
        answer = client.post("/recipe", json={"shot": SIMPLE, "fingerprint": fingerprint})
        assert (
            "sd-turbo@1 and this stream uses colour" in answer.json.get("warning", "")
        ) is warned


def test_a_picture_of_the_first_version_is_recalled(client: FlaskClient) -> None:
    first = {"prompt": "an old one", "seed_from": 1, "seed_to": 2, "angle": 0.5}
    assert client.post("/recipe", json={"shot": first}).json["prompt"] == "an old one"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "is missing"),
        ({"shot": 7}, "must be a JSON object"),
        ({"shot": {}}, "no"),
        ({"shot": {**SIMPLE, "version": VERSION + 1}}, "use a newer version"),
        ({"shot": {**SIMPLE, "mood": 1}}, "use a newer version"),
        ({"shot": {**SIMPLE, "prompts": [["a", 0.5]]}}, "add up to 1"),
        ({"shot": {**SIMPLE, "prompts": [["a", "b"]]}}, "finite number"),
        ({"shot": {**SIMPLE, "prompts": [[f"{n}", 1 / 17] for n in range(17)]}}, "prompts"),
        ({"shot": {**SIMPLE, "prompts": [["x" * 1001, 1]]}}, "1,001 characters"),
        ({"shot": {**SIMPLE, "prompts": [["nul \0", 1]]}}, "control characters"),
        ({"shot": {**SIMPLE, "prompts": [["", 1]]}}, "empty"),
        ({"shot": {**SIMPLE, "prompts": [["two\nlines", 1]]}}, "line break"),
        ({"shot": {**SIMPLE, "noise": [[-1, 1]]}}, "whole number"),
        ({"shot": {**SIMPLE, "noise": [[n, 0.1] for n in range(100)]}}, "32 seeds"),
        ({"shot": {**SIMPLE, "source": {"picture": "0" * 64}, "strength": 0.5}}, "another picture"),
        ({"shot": {**SIMPLE, "source": {"frame": 7}, "strength": 0.5}}, "another picture"),
        ({"shot": {**SIMPLE, "adapters": [["oil", 1]]}}, "'oil'"),
        ({"shot": {**SIMPLE, "steps": 5}}, "from 1 to 4"),
        ({"shot": SIMPLE, "fingerprint": 7}, "fingerprint must be text"),
        ({"shot": SIMPLE, "fade_s": 601}, "fade_s"),
        ({"shot": SIMPLE, "fade_s": "long"}, "fade_s"),
        ({"shot": SIMPLE, "fade_s": None}, "fade_s"),
        ({"shot": SIMPLE, "motion": "walk"}, "no field 'motion'"),
    ],
)
def test_a_wrong_recipe_gets_one_sentence_and_changes_nothing(
    client: FlaskClient, context: AppContext, body: object, sentence: str
) -> None:
    before, revision = context.channel.last_change, context.channel.revision
    assert sentence in error_of(client.post("/recipe", json=body), 400)
    assert context.channel.last_change is before
    assert context.channel.revision == revision


@pytest.mark.parametrize(
    "body", [b"", b"[1]", b"\xff", b'{"shot": NaN}', b'{"shot":' + b"[" * 30_000, b"{" * 9]
)
def test_a_body_that_is_not_json_gets_one_sentence(client: FlaskClient, body: bytes) -> None:
    error_of(client.post("/recipe", data=body, content_type="application/json"), 400)


def test_a_huge_recipe_is_413(client: FlaskClient) -> None:
    error_of(client.post("/recipe", json={"shot": "x" * 100_000}), 413)
