"""The sources of several channels: each has its own pictures, and the engine finds all of them."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from tests.sources.conftest import SIZE, FakeChannel, Room
from tests.sources.files import BLUE, RED, near, saved
from tests.stream.running import wait_until
from turbostream.stream.channel import Channel
from turbostream.stream.follower import Follower
from turbostream.stream.follows import Follows
from turbostream.stream.frame import Frame
from turbostream.stream.scene import Scene
from turbostream.stream.shot import EarlierFrame, InputPicture, ShotError


def shown(channel: Channel, colour: tuple[int, int, int], number: int = 1) -> None:
    from tests.sources.conftest import jpeg

    shot = channel.scene.shot_at(0.0, number)
    frame = Frame(number, jpeg(colour, SIZE), shot, time.time(), {}, "test", channel.name, 1.0)
    channel.buffer.publish(frame)


def test_feedback_starts_from_the_frames_of_its_own_channel(room: Room) -> None:
    scene = replace(Scene.single("words"), source="feedback")
    main = Channel("main", scene)
    beside = Follower("beside", main, Follows("main", seed=1))
    own = Channel("own", scene, default=False)
    for channel in (beside, own):
        room.sources.add_frames(channel)
    room.channel.show((0, 200, 0))
    shown(beside, RED)
    shown(own, BLUE)
    for channel, colour in ((beside, RED), (own, BLUE)):
        source = channel.take_shot().shot.source
        assert isinstance(source, EarlierFrame)
        assert source.channel == channel.name
        assert near(room.sources.resolve(source, *SIZE)[0, 0], colour)
    assert near(room.sources.resolve(EarlierFrame(2), *SIZE)[0, 0], (0, 200, 0))
    room.sources.remove_frames(beside)
    with pytest.raises(ShotError, match="no channel 'beside'"):
        room.sources.resolve(EarlierFrame(1, channel="beside"), *SIZE)


def test_the_frames_of_the_default_channel_need_no_name() -> None:
    main = Channel("main", replace(Scene.single("words"), source="feedback"))
    shown(main, RED)
    assert main.take_shot().shot.source == EarlierFrame(1, channel=None)


def test_each_channel_has_its_own_input_picture(room: Room) -> None:
    other = FakeChannel()
    other.show()
    beside = room.sources.open_beside(other, room.settings)  # type: ignore[arg-type]
    beside.start()
    for sources, colour in ((room.sources, RED), (beside, BLUE)):
        pixels = np.full((SIZE[1], SIZE[0], 3), colour, np.uint8)
        from PIL import Image

        sources.put(saved(Image.fromarray(pixels), "PNG"), "cover", False, 10.0)
    wait_until(lambda: room.channel.given and other.given)
    for channel, colour in ((room.channel, RED), (other, BLUE)):
        digest = channel.given[-1]
        assert digest is not None
        assert near(room.sources.resolve(InputPicture(digest), *SIZE)[0, 0], colour)
    assert room.channel.given != other.given
    digest = other.given[-1]
    assert digest is not None
    beside.stop(timeout_s=10.0)
    with pytest.raises(ShotError, match="no longer"):
        room.sources.resolve(InputPicture(digest), *SIZE)
