"""Pictures with their recipe, and the shots of frames: what the owner gets and a watcher does not.

RECIPES decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.robustness.auth.visitor import Visitor, bearer
from tests.web.answers import error_of
from tests.web.reader import Part, read_parts
from turbostream.stream import recipe
from turbostream.stream.scene import Scene
from turbostream.stream.shot_json import from_json, to_json
from turbostream.web.context import AppContext
from turbostream.web.live.multipart import BOUNDARY, CONTENT_TYPE

WORDS = b"first words"
SHOT = Scene.single("a red heart", seed=70, phase=0.4).shot_at(0.0, 1)


def frame_of(answer: Any) -> Part:
    """The first part with a frame of a stream, which is then closed."""
    assert answer.headers["Content-Type"] == CONTENT_TYPE
    found = next(part for part in read_parts(answer.response, BOUNDARY) if part.number)
    answer.close()
    return found


@pytest.mark.parametrize(
    ("recipes", "owner", "watcher"),
    [("owner", True, False), ("all", True, True), ("none", False, False)],
)
def test_stream_and_snapshot_carry_the_recipe_for_whom_the_setting_names(
    make: Callable[..., FlaskClient],
    context: AppContext,
    recipes: str,
    owner: bool,
    watcher: bool,
) -> None:
    visitor = Visitor(make(recipes=recipes))
    for token, wanted in ((context.tokens.owner, owner), (context.tokens.watch, watcher)):
        snapshot = visitor.ask("GET", "/snapshot.jpg", Authorization=bearer(token))
        part = frame_of(visitor.ask("GET", "/stream", Authorization=bearer(token)))
        for jpeg in (snapshot.data, part.jpeg):
            assert (WORDS in jpeg) is wanted
            assert (recipe.MARK in jpeg) is wanted
            if wanted:
                found = recipe.read(jpeg)
                assert (found.shot.prompt, found.fingerprint) == ("first words", "colour")


def test_a_watcher_beside_the_owner_gets_no_recipe_of_any_frame(
    make: Callable[..., FlaskClient], context: AppContext
) -> None:
    visitor = Visitor(make())
    streams = [
        visitor.ask("GET", "/stream", Authorization=bearer(token))
        for token in (context.tokens.owner, context.tokens.watch)
    ]
    readers = [read_parts(stream.response, BOUNDARY) for stream in streams]
    for _ in range(20):
        owners, watchers = (next(reader) for reader in readers)
        assert WORDS not in watchers.jpeg
        assert (WORDS in owners.jpeg) or not owners.number
    for stream in streams:
        stream.close()


@pytest.mark.parametrize("recipes", ["owner", "all", "none"])
def test_the_shot_of_a_frame_is_found_by_its_number(
    make: Callable[..., FlaskClient], context: AppContext, recipes: str
) -> None:
    visitor = Visitor(make(recipes=recipes))
    owner, watch = bearer(context.tokens.owner), bearer(context.tokens.watch)
    number = frame_of(visitor.ask("GET", "/stream", Authorization=owner)).number
    found = visitor.ask("GET", f"/frames/{number}/shot", Authorization=owner).json
    assert list(found) == ["number", "shot", "fingerprint"]
    assert (found["number"], found["fingerprint"]) == (number, "colour")
    assert from_json(found["shot"]).prompt == "first words"
    seen = visitor.ask("GET", f"/frames/{number}/shot", Authorization=watch)
    if recipes == "all":
        assert seen.json == found
    else:
        assert "view-only" in error_of(seen, 403)
        assert WORDS not in seen.data


@pytest.mark.parametrize("recipes", ["owner", "all", "none"])
def test_a_watcher_learns_the_seed_and_the_phase_only_with_the_recipes(
    make: Callable[..., FlaskClient], context: AppContext, recipes: str
) -> None:
    visitor = Visitor(make(recipes=recipes))
    for token, wanted in ((context.tokens.owner, True), (context.tokens.watch, recipes == "all")):
        scene = visitor.ask("GET", "/scene", Authorization=bearer(token)).json
        status = visitor.ask("GET", "/status", Authorization=bearer(token)).json
        assert scene["prompt"] == status["scene"]["prompt"] == "first words"
        for found in (scene, status["scene"]):
            assert ("seed" in found, "phase" in found) == (wanted, wanted)


def test_a_watcher_may_not_put_a_recipe_in_force(
    make: Callable[..., FlaskClient], context: AppContext
) -> None:
    visitor, watch = Visitor(make(recipes="all")), bearer(context.tokens.watch)
    before = context.channel.last_change
    answer = visitor.ask("POST", "/recipe", {"shot": to_json(SHOT)}, Authorization=watch)
    assert "view-only" in error_of(answer, 403)
    assert context.channel.last_change is before
