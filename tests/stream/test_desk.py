"""Values of the parameter table, applied to a channel and its repertoire."""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

import pytest

from turbostream.settings import Settings
from turbostream.stream.channel import Channel, NothingToUndo
from turbostream.stream.controller import INTERVAL_S, Controller
from turbostream.stream.desk import SHORTEST_BLACK_S, Desk
from turbostream.stream.looks import Look, UnknownLook
from turbostream.stream.parameters import PARAMETERS, as_json, check_value
from turbostream.stream.repertoire import Repertoire
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import PATCHABLE, SceneError
from turbostream.stream.setlist import Entry, Setlist


class Room:
    """A desk over a channel at a time that the test sets."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        settings = Settings(
            target_fps=30, initial_prompt="a", model_id="demo", server_port=0, state_dir=folder
        )
        self.channel = Channel("main", Scene.single("a"), clock=lambda: self.now)
        self.repertoire = Repertoire(settings, self.channel)
        self.desk = Desk(self.channel, self.repertoire, lambda shot: None)

    @property
    def scene(self) -> Scene:
        return self.channel.scene

    def save(self, *names: str) -> None:
        for name in names:
            self.repertoire.collection.save(Look.of(name, Scene.single(f"look {name}"), 0.0))


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path)


def test_every_parameter_has_an_effect(room: Room) -> None:
    for name, row in PARAMETERS.items():
        value = row.default if row.default is not None else "x" if row.kind == "text" else 1
        with suppress(SceneError):  # a look that does not exist, nothing to undo
            room.desk.apply({name: value})


def test_every_field_of_the_table_is_a_field_of_the_scene() -> None:
    assert {row.name for row in PARAMETERS.values() if row.field} <= set(PATCHABLE)


def test_every_row_says_what_it_is_and_has_a_default_that_it_accepts() -> None:
    for row in PARAMETERS.values():
        assert row.help
        if row.default is not None:
            assert check_value(row.name, row.default) == row.default
        if row.kind in ("continuous", "whole"):
            assert row.low <= row.swept[0] < row.swept[1] <= row.high
    assert [row["name"] for row in as_json()] == list(PARAMETERS)


def test_fields_become_one_change(room: Room) -> None:
    revision = room.channel.revision
    room.desk.apply({"prompt": "b", "speed": 0.5, "seed": 7.0, "motion": "hold"}, fade_s=2)
    assert room.channel.revision == revision + 1
    assert (room.scene.prompt, room.scene.speed, room.scene.seed) == ("b", 0.5, 7)
    fade = room.scene.fade_at(0.0)
    assert fade is not None
    assert fade.seconds == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("speed", -0.1),
        ("speed", math.nan),
        ("speed", "fast"),
        ("speed", True),
        ("seed", 1.5),
        ("seed", 2**63),
        ("seed", math.inf),
        ("motion", "run"),
        ("motion", 1),
        ("freeze", "maybe"),
        ("freeze", 2),
        ("new_seed", [1]),
        ("new_seed", math.nan),
        ("prompt", ""),
        ("prompt", 5),
        ("look", ""),
        ("look", 3),
        ("look", "x" * 2000),
        ("bpm", 0),
        ("bpm", 10_000),
        ("warp", 1),
    ],
)
def test_a_wrong_value_is_refused_with_a_sentence_and_nothing_changes(
    room: Room, name: str, value: object
) -> None:
    before = room.scene
    with pytest.raises(SceneError, match=r"^The.*\.$"):
        room.desk.apply({"brightness": 0.5, name: value})
    assert room.scene == before


def test_weights_change_one_prompt_of_a_blend(room: Room) -> None:
    room.channel.change({"prompts": [{"text": "a"}, {"text": "b", "weight": 0.2}]})
    room.desk.apply({"weight_2": 0.7})
    assert room.scene.prompts == (("a", 1.0), ("b", 0.7))
    with pytest.raises(SceneError, match="The blend has no prompt 3; it has 2"):
        room.desk.apply({"weight_3": 0.7})
    with pytest.raises(SceneError, match="All weights"):
        room.desk.apply({"weight_1": 0, "weight_2": 0})


def test_freeze_goes_back_to_the_motion_before(room: Room) -> None:
    room.channel.change({"motion": "fresh"})
    room.desk.apply({"freeze": True})
    assert room.scene.motion == "hold"
    room.desk.apply({"freeze": "off"})
    assert room.scene.motion == "fresh"


def test_black_fades_and_goes_back_to_the_brightness_before(room: Room) -> None:
    room.desk.apply({"brightness": 0.6})
    room.desk.apply({"black": 1})
    fade = room.scene.fade_at(0.0)
    assert room.scene.brightness == 0
    assert fade is not None
    assert fade.seconds == SHORTEST_BLACK_S
    room.desk.apply({"black": 0}, fade_s=3)
    assert room.scene.brightness == 0.6


def test_the_release_of_a_button_does_nothing(room: Room) -> None:
    before = room.scene
    for released in (0, 0.0, False):
        room.desk.apply({"new_seed": released, "undo": released})
    assert room.scene == before


def test_a_new_seed_is_another_one(room: Room) -> None:
    seeds = {room.desk.apply({"new_seed": True}).scene.seed for _ in range(8)}
    assert len(seeds) > 1


def test_looks_are_recalled_by_name_by_number_and_in_turn(room: Room) -> None:
    room.save("dawn", "noon", "dusk")
    shown = []
    for values in (
        {"look": "noon"},
        {"next_look": 1},
        {"next_look": 1},
        {"previous_look": 1},
        {"look_number": 2},
    ):
        room.desk.apply(values)
        shown.append(room.scene.prompt)
    assert shown == ["look noon", "look dusk", "look dawn", "look dusk", "look noon"]
    with pytest.raises(UnknownLook):
        room.desk.apply({"look": "night"})
    with pytest.raises(SceneError, match="There are 3 looks; look 4 does not exist"):
        room.desk.apply({"look_number": 4})


def test_without_looks_there_is_no_next_one(room: Room) -> None:
    with pytest.raises(SceneError, match="There are no looks yet"):
        room.desk.apply({"next_look": 1})


def test_taps_set_the_tempo_and_the_first_one_begins_a_bar(room: Room) -> None:
    room.now = 7.3
    room.desk.apply({"tap": 1})
    assert room.scene.rhythm.tempo.beat_at(room.now) == 0
    for _ in range(4):
        room.now += 0.6
        room.desk.apply({"tap": 1})
    tempo = room.scene.rhythm.tempo
    assert tempo.bpm == pytest.approx(100)
    assert tempo.beat_at(room.now + 0.3) == pytest.approx(4.5)
    assert room.channel.history == (0, 0)


def test_a_recall_waits_for_the_bar(room: Room) -> None:
    room.save("dawn")
    room.desk.apply({"bpm": 60, "quantise": "bar"})
    room.now = 1.5
    room.desk.apply({"look": "dawn"})
    assert room.scene.prompt == "a"
    room.now = 4.0
    room.channel.take_shot()
    assert room.scene.prompt == "look dawn"


def test_undo_and_redo(room: Room) -> None:
    room.desk.apply({"prompt": "b"})
    room.desk.apply({"undo": 1})
    assert room.scene.prompt == "a"
    room.desk.apply({"redo": 1})
    assert room.scene.prompt == "b"
    with pytest.raises(NothingToUndo):
        room.desk.apply({"redo": 1})


def test_the_setlist_plays_steps_and_pauses(room: Room) -> None:
    room.save("dawn", "noon")
    room.repertoire.collection.put_setlist(Setlist((Entry("dawn", 5), Entry("noon", 5))))
    room.desk.apply({"setlist_play": "on"})
    assert room.repertoire.player.playing
    assert room.scene.prompt == "look dawn"
    room.desk.apply({"setlist_next": 1})
    assert room.scene.prompt == "look noon"
    room.desk.apply({"setlist_previous": 1, "setlist_play": "off"})
    assert room.scene.prompt == "look dawn"
    assert not room.repertoire.player.playing


# -- one controller ----------------------------------------------------------------------------


def test_a_single_move_is_due_at_once_and_a_flood_becomes_one_change(room: Room) -> None:
    controller = Controller(room.desk, clock=lambda: room.now)
    controller.put({"speed": 0.1})
    assert controller.due_s() == 0
    controller.flush()
    revision = room.channel.revision
    for step in range(1000):
        controller.put({"speed": step / 1000, "brightness": 1 - step / 1000})
    assert controller.due_s() == pytest.approx(INTERVAL_S)
    room.now += INTERVAL_S
    assert controller.due_s() == 0
    controller.flush()
    assert room.channel.revision == revision + 1
    assert (room.scene.speed, room.scene.brightness) == (0.999, pytest.approx(0.001))
    assert controller.due_s() is None
    assert controller.flush() is None


def test_the_fade_of_a_controller_stays_for_its_later_changes(room: Room) -> None:
    controller = Controller(room.desk, clock=lambda: room.now)
    controller.put({"fade_s": 4, "easing": "linear"})
    assert controller.due_s() is None
    controller.put({"prompt": "b"})
    controller.flush()
    fade = room.scene.fade_at(0.0)
    assert fade is not None
    assert (fade.seconds, fade.easing) == (4, "linear")


def test_a_press_and_its_release_in_one_moment_fire_once(room: Room) -> None:
    controller = Controller(room.desk, clock=lambda: room.now)
    controller.put({"new_seed": 127})
    controller.put({"new_seed": 0})
    before = room.scene.seed
    controller.flush()
    assert room.scene.seed != before


def test_a_refused_message_leaves_what_waits(room: Room) -> None:
    controller = Controller(room.desk, clock=lambda: room.now)
    controller.put({"speed": 1})
    with pytest.raises(SceneError):
        controller.put({"brightness": 0.5, "speed": 99})
    controller.flush()
    assert (room.scene.speed, room.scene.brightness) == (1, 1)


def test_two_knobs_that_are_turned_together_are_one_step_of_undo(room: Room) -> None:
    controller = Controller(room.desk, clock=lambda: room.now)
    for step in range(1, 50):
        controller.put({"speed": step / 50} if step % 2 else {"seed": step})
        controller.flush()
        room.now += 0.01
    assert room.channel.history == (1, 0)
    room.desk.apply({"undo": 1})
    assert (room.scene.speed, room.scene.seed) == (0.15, 0)


def test_a_value_that_is_refused_late_does_not_stop_the_others(room: Room) -> None:
    controller = Controller(room.desk, clock=lambda: room.now)
    controller.put({"undo": 1, "weight_3": 0.5, "speed": 2, "prompt": "b", "brightness": 0.5})
    with pytest.raises(SceneError, match="The blend has no prompt 3"):
        controller.flush()
    assert (room.scene.speed, room.scene.brightness, room.scene.prompt) == (2, 0.5, "b")
    assert controller.due_s() is None
