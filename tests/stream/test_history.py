"""Undo and redo of a channel's scene."""

from __future__ import annotations

import pytest

from turbostream.stream.channel import Channel, NothingToUndo
from turbostream.stream.history import MOST_STEPS
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import SceneError


class Desk:
    """A channel whose clock stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.channel = Channel("main", Scene.single("first", speed=0.5), lambda: self.now)

    def change(self, **changes: object) -> None:
        self.now += 2.0
        self.channel.change(changes)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_undo_and_redo_walk_through_the_scenes(desk: Desk) -> None:
    for words in ("second", "third"):
        desk.change(prompt=words)
    seen = []
    for step in (desk.channel.undo, desk.channel.undo, desk.channel.redo, desk.channel.redo):
        seen.append(step().scene.prompt)
    assert seen == ["second", "first", "second", "third"]
    with pytest.raises(NothingToUndo, match="redo"):
        desk.channel.redo()


def test_a_change_after_an_undo_ends_the_redo(desk: Desk) -> None:
    desk.change(prompt="second")
    desk.channel.undo()
    desk.change(prompt="other")
    assert desk.channel.history == (1, 0)


def test_typing_and_dragging_are_one_step(desk: Desk) -> None:
    for number in range(50):
        desk.now += 0.1
        desk.channel.change({"prompt": f"words {number}"})
    assert desk.channel.history == (1, 0)
    for number in range(50):
        desk.now += 0.1
        desk.channel.change({"speed": number / 50 + 1})
    assert desk.channel.undo().scene.speed == 0.5
    assert desk.channel.undo().scene.prompt == "first"


def test_the_last_hundred_are_kept(desk: Desk) -> None:
    for number in range(MOST_STEPS + 20):
        desk.change(prompt=f"words {number}")
    for _ in range(MOST_STEPS):
        desk.channel.undo()
    assert desk.channel.scene.prompt == "words 19"
    with pytest.raises(NothingToUndo, match="undo"):
        desk.channel.undo()


def test_undone_words_leave_the_walk_where_it_is(desk: Desk) -> None:
    desk.change(prompt="second")
    desk.now += 10.0
    before = desk.channel.scene.phase_at(desk.now)
    assert desk.channel.undo().scene.phase_at(desk.now) == pytest.approx(before)


def test_an_undone_seed_goes_back_to_its_place_in_the_walk(desk: Desk) -> None:
    desk.change(seed=77)
    place = 2.0 * 0.5
    desk.now += 10.0
    scene = desk.channel.undo().scene
    assert (scene.seed, scene.phase_at(desk.now)) == (0, pytest.approx(place))


def test_black_is_not_a_step_of_undo(desk: Desk) -> None:
    desk.change(brightness=0)
    assert desk.channel.history == (0, 0)
    desk.change(prompt="second")
    assert desk.channel.undo().scene.brightness == 0


def test_a_wrong_fade_undoes_nothing(desk: Desk) -> None:
    desk.change(prompt="second")
    for step in (desk.channel.undo, desk.channel.redo):
        with pytest.raises(SceneError):
            step(-1.0)
    assert desk.channel.history == (1, 0)


def test_an_undo_fades_like_any_change(desk: Desk) -> None:
    desk.change(prompt="second")
    scene = desk.channel.undo(4.0).scene
    assert scene.words_at(desk.now) == (("second", 1.0),)
    assert scene.words_at(desk.now + 4) == (("first", 1.0),)


def test_every_change_raises_the_revision_and_nothing_else_does(desk: Desk) -> None:
    found = [desk.channel.revision]
    desk.change(prompt="second")
    found.append(desk.channel.revision)
    desk.change(prompt="second")
    assert desk.channel.revision == found[-1]
    desk.channel.undo()
    found.append(desk.channel.revision)
    desk.channel.touch()
    found.append(desk.channel.revision)
    desk.channel.recall(Scene.single("x"))
    found.append(desk.channel.revision)
    assert found == sorted(set(found))


def test_the_channels_fade_applies_to_changes_that_name_none() -> None:
    channel = Channel("main", Scene.single("first"), lambda: 5.0, fade_s=2.0, easing="linear")
    assert channel.change({"prompt": "second"}).scene.words_at(6.0) == (
        ("first", 0.5),
        ("second", 0.5),
    )
    assert channel.change({"prompt": "third", "fade_s": 0}).scene.words_at(5.0) == (("third", 1.0),)


def test_an_undone_phase_and_an_undone_look_of_the_same_seed_go_back_too(desk: Desk) -> None:
    look = desk.channel.scene.settled(desk.now)
    desk.now += 30.0
    for act in (lambda: desk.channel.recall(look), lambda: desk.channel.change({"phase": 5})):
        before = desk.channel.scene.phase_at(desk.now)
        act()
        desk.now += 1.0
        assert desk.channel.undo().scene.phase_at(desk.now) == pytest.approx(before)
