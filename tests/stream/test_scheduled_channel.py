"""When one channel takes its next shot, step by step."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import pytest

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
        self._viewers = ExitStack()  # keeps the viewer until the test ends
        self._viewers.enter_context(self.channel.watched())
        self.scheduled.restart(self.now, lambda: self.now)

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
