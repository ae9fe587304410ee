"""When one channel takes its next shot, step by step."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turbostream.stream.channel import Channel
from turbostream.stream.scene import Scene
from turbostream.stream.scheduled_channel import ScheduledChannel

ONE, OTHER = "1" * 64, "2" * 64
SCENE = replace(Scene.single("words", motion="hold"), source="picture")


class Stage:
    """A watched channel at 10 frames/s whose steps the test takes."""

    def __init__(self) -> None:
        self.now = 100.0
        self.channel = Channel("main", SCENE, lambda: self.now)
        self.scheduled = ScheduledChannel(self.channel, 10.0)
        self.channel.give_picture(ONE)
        self._viewers = ExitStack()  # keeps the viewers until the test ends
        self.join()
        self.scheduled.restart(self.now, lambda: self.now)

    def join(self) -> None:
        self._viewers.enter_context(self.channel.watched())

    def turn(self, at: float) -> bool:
        """Whether the channel paints at `at` if it is due."""
        self.now = at
        assert self.scheduled.update_demand(at, lambda: self.now)
        return at >= self.scheduled.due and self.scheduled.take(at, lambda _: True) is not None


def test_it_looks_again_at_each_beat_and_paints_at_once_when_it_hears_of_a_picture() -> None:
    stage = Stage()
    assert stage.turn(100.0)
    stage.channel.give_picture(OTHER)
    assert not stage.turn(100.05), "no more than ten frames a second"
    assert stage.turn(100.1)
    assert not stage.turn(100.2)
    assert stage.scheduled.due == pytest.approx(100.3)
    stage.channel.give_picture(ONE)
    assert stage.turn(100.23)
    assert stage.scheduled.due == pytest.approx(100.33)


def test_what_it_has_heard_is_not_lost_if_the_shot_does_not_fit_a_batch() -> None:
    stage = Stage()
    assert stage.turn(100.0)
    stage.channel.change({"speed": 1.0})
    stage.scheduled.update_demand(100.1, lambda: 100.1)
    assert stage.scheduled.take(100.1, lambda _: False) is None
    assert stage.scheduled.still_since is None
    assert stage.turn(100.11)


def test_a_frame_that_does_not_come_is_missed_also_at_rest() -> None:
    stage = Stage()
    assert stage.turn(100.0)
    for step in range(1, 200):
        stage.turn(100.0 + step / 10)
    assert stage.scheduled.rests(119.0)
    assert stage.scheduled.late_s(119.9) == pytest.approx(19.9), "it is in flight"
    stage.scheduled.arrived(120.0, 1)
    stage.turn(150.0)
    assert stage.scheduled.late_s(150.0) == 0.0


def test_short_pauses_are_no_rest() -> None:
    stage = Stage()
    for step in range(100):
        stage.turn(100.0 + step / 10)
        assert not stage.scheduled.rests(stage.now)
        if step % 5 == 4:
            stage.channel.give_picture(ONE if step % 2 else OTHER)


events = st.sampled_from(["one", "other", "gone", "change", "same", "viewer", "fail", "fade"])


@given(st.lists(st.tuples(st.floats(0, 0.3), events), max_size=30))
def test_no_picture_and_no_waiting_caller_is_ever_forgotten(
    steps: list[tuple[float, str]],
) -> None:
    """Whatever happens, in any order: soon the newest picture is painted with the scene in
    force, by a frame after the one that the last change and the last viewer wait for."""
    stage = Stage()
    channel, at, after, level = stage.channel, 100.0, 0, 0
    for pause, event in [*steps, (0.0, "")]:
        at += pause
        stage.turn(at)
        match event:
            case "one" | "other" | "gone":
                channel.give_picture({"one": ONE, "other": OTHER, "gone": None}[event])
            case "change":
                level += 1
                after = channel.change({"strength": 1 / level}).after
            case "same":
                after = channel.change({"speed": 4.0 if channel.scene.speed < 4 else 1.0}).after
            case "viewer":
                after = channel.last_number
                stage.join()
            case "fail":
                stage.scheduled.failed()
                after = channel.last_number
            case "fade":
                after = channel.change({"strength": 0.5, "fade_s": 0.05}).after
        for part in range(22):  # two beats, the first of which may come during the fade
            stage.turn(at + part / 100)
        at += 0.22
        newest = stage.scheduled._last
        assert newest is not None
        assert newest.number > after
        expected = channel.scene.shot_at(stage.now, newest.number, channel.given)
        assert newest.shot == expected


def test_a_scene_at_rest_uses_no_numbers() -> None:
    stage = Stage()
    painted = [stage.turn(100.0 + step / 100) for step in range(1000)]
    assert painted == [True] + [False] * 999
    assert stage.channel.last_number == 1
