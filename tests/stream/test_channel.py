"""A channel knows exactly which frames show the new words, and whether anybody watches."""

from __future__ import annotations

import pytest

from turbostream.stream.channel import Channel
from turbostream.stream.frame import Frame
from turbostream.stream.scene import Scene, SceneError


@pytest.fixture
def channel() -> Channel:
    return Channel("main", Scene("old words"))


def publish(channel: Channel) -> Frame:
    number, shot = channel.take_shot()
    frame = Frame(number, b"", shot, 0.0, {}, "test")
    channel.buffer.publish(frame)
    return frame


def test_every_frame_after_a_change_shows_it_and_none_before(channel: Channel) -> None:
    before = [channel.take_shot() for _ in range(3)]
    change = channel.change({"prompt": "new words"})
    after = [channel.take_shot() for _ in range(3)]
    assert {shot.prompt for number, shot in before if number <= change.after} == {"old words"}
    assert {shot.prompt for number, shot in after if number > change.after} == {"new words"}


def test_numbers_rise_by_one_from_one(channel: Channel) -> None:
    assert [channel.take_shot()[0] for _ in range(3)] == [1, 2, 3]


def test_a_refused_change_leaves_the_scene(channel: Channel) -> None:
    with pytest.raises(SceneError):
        channel.change({"prompt": "new words", "speed": -1})
    assert channel.scene.prompt == "old words"


def test_a_frame_of_an_older_scene_is_not_current(channel: Channel) -> None:
    frame = publish(channel)
    assert channel.current() == frame
    channel.change({"prompt": "new words"})
    assert channel.current() is None
    assert publish(channel) == channel.current()


def test_frames_are_wanted_exactly_while_somebody_watches(channel: Channel) -> None:
    assert not channel.wait_wanted(0)
    with channel.watched():
        with channel.watched():
            assert channel.watchers == 2
        assert channel.wait_wanted(0)
    assert channel.watchers == 0
    assert not channel.wait_wanted(0)


def test_the_same_words_again_throw_no_frame_away() -> None:
    channel = Channel("main", Scene("words"))
    channel.take_shot()
    assert channel.change({"prompt": "words"}) is channel.last_change
    assert channel.last_change.after == 0
    assert channel.change({"prompt": "other words"}).after == 1
