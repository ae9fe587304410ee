"""Channels that follow: the same scene with other noise, and parts of a picture."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.engines import ColourEngine, opens
from tests.stream.registry import registry
from tests.stream.running import collect, wait_until
from turbostream.stream.channel import Channel
from turbostream.stream.channel_names import ChannelConflict, ChannelError, UnknownChannel
from turbostream.stream.channel_spec import spec_of
from turbostream.stream.channels import Channels
from turbostream.stream.engine_api import Picture
from turbostream.stream.follower import Follower, Following
from turbostream.stream.follows import Follows, follows_of
from turbostream.stream.live_channel import LiveChannel
from turbostream.stream.scene import Scene
from turbostream.stream.shot import MAX_SEED, Noise, Shot

QUARTERS = {"a": [0, 0, 0.5, 0.5], "b": [0.5, 0, 0.5, 0.5],
            "c": [0, 0.5, 0.5, 0.5], "d": [0.5, 0.5, 0.5, 0.5]}  # fmt: skip


def make(channels: Channels, name: str, **body: object) -> LiveChannel:
    return channels.create(spec_of(name, body, channels.spec_of))


def noise_at(channel: Channel, at: float) -> Noise:
    return channel.scene.shot_at(at, 1).noise


# -- other noise -------------------------------------------------------------------------------


def test_a_follower_has_the_scene_of_its_leader_with_another_seed_or_phase() -> None:
    now = [100.0]
    leader = Channel("main", Scene.single("words", seed=5), lambda: now[0])
    by_seed = Follower("s", leader, Follows("main", seed=1000))
    by_phase = Follower("p", leader, Follows("main", phase=2.5))
    plain = Scene.single("words", seed=5, anchored_at=100.0)
    for at in (100.0, 103.7, 160.2):
        apart = Scene.single("words", seed=1005, anchored_at=100.0)
        ahead = Scene.single("words", seed=5, phase=2.5, anchored_at=100.0)
        assert noise_at(leader, at) == plain.shot_at(at, 1).noise
        assert noise_at(by_seed, at) == apart.shot_at(at, 1).noise
        found, wanted = noise_at(by_phase, at), ahead.shot_at(at, 1).noise
        assert dict(found) == pytest.approx(dict(wanted))


@pytest.mark.parametrize(
    "change",
    [
        lambda leader: leader.change({"prompt": "others", "fade_s": 2.0}),
        lambda leader: leader.change({"seed": 77, "fade_s": 2.0}),
        lambda leader: leader.change({"speed": 2.0, "brightness": 0.5}),
        lambda leader: leader.change({"motion": "hold"}),
        lambda leader: (leader.change({"speed": 1}), leader.undo()),
        lambda leader: leader.recall(Scene.single("look", seed=9)),
    ],
)
def test_every_change_of_the_leader_is_one_of_the_follower(
    change: Callable[[Channel], object],
) -> None:
    now = [100.0]
    leader = Channel("main", Scene.single("words", seed=5), lambda: now[0])
    follower = Follower("s", leader, Follows("main", seed=10))
    heard: list[int] = []
    follower.listen_revision(lambda: heard.append(follower.revision))
    for at in (104.0, 105.0):
        now[0] = at
        change(leader)
        for later in (at, at + 0.7, at + 3.0):
            shot = leader.scene.shifted(10, 0.0).shot_at(later, 1)
            assert follower.scene.shot_at(later, 1) == shot
            assert shot.prompts == leader.scene.shot_at(later, 1).prompts
            assert shot.noise != leader.scene.shot_at(later, 1).noise
    assert heard
    assert follower.last_change.at == leader.last_change.at


def test_a_seed_wraps_at_the_largest() -> None:
    assert Scene.single("words", seed=MAX_SEED).shifted(2, 0.0).seed == 1


def test_a_follower_takes_no_changes_of_its_own(tmp_path: Path) -> None:
    with registry(tmp_path, "main") as channels:
        live = make(channels, "left", follows={"channel": "main", "seed": 1})
        before = live.channel.last_change
        for attempt in (
            lambda: live.channel.change({"prompt": "own"}),
            lambda: live.channel.recall(Scene.single("look")),
            live.channel.undo,
            lambda: live.desk.apply({"black": "on"}),
            lambda: live.desk.apply({"prompt": "own"}),
            lambda: live.quantiser.recall(Scene.single("look")),
        ):
            with pytest.raises(Following, match="follows main; change that one"):
                attempt()
        channels.default.channel.change({"quantise": "bar", "bpm": 20})
        with pytest.raises(Following):
            live.quantiser.recall(Scene.single("look"))
        assert live.channel.scene.prompt == before.scene.prompt


class Batches(ColourEngine):
    max_batch = 8

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def submit(self, shots: Sequence[Shot]) -> Future[list[Picture]]:
        self.sizes.append(len(shots))
        return super().submit(shots)


def test_a_follower_is_painted_in_the_batches_of_its_leader(tmp_path: Path) -> None:
    engine = Batches()
    with registry(tmp_path, "main", open_engine=opens(engine), fps=30) as channels:
        live = make(channels, "left", follows={"channel": "main", "seed": 1})
        with channels.default.channel.watched():
            wait_until(lambda: len(engine.sizes) > 5)
            time.sleep(0.013)  # not in step by chance
            with live.channel.watched():
                wait_until(lambda: live.meter.frames > 3)
                seen = len(engine.sizes)
                wait_until(lambda: len(engine.sizes) > seen + 30)
                sizes = engine.sizes[seen : seen + 30]
    assert sizes.count(2) >= 25, sizes


# -- parts of a picture ------------------------------------------------------------------------


class Numbered(ColourEngine):
    """Paints four quarters of different colours; each picture's depend on its number."""

    def _paint(self, shot: Shot) -> Picture:
        number = len(self.shots)
        pixels = np.zeros((128, 128, 3), np.uint8)
        for row in (0, 1):
            for column in (0, 1):
                pixels[64 * row : 64 * row + 64, 64 * column : 64 * column + 64] = (
                    (number * 8) % 256, 100 * row + 40, 100 * column + 40,
                )  # fmt: skip
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=95)
        return Picture(file.getvalue(), {})


def colour(jpeg: bytes) -> list[int]:
    with Image.open(io.BytesIO(jpeg)) as image:
        return [int(one) for one in np.asarray(image.convert("RGB")).mean((0, 1))]


def test_four_parts_show_one_picture_under_one_number(tmp_path: Path) -> None:
    engine = Numbered()
    with registry(tmp_path, "main", open_engine=opens(engine), fps=50) as channels:
        parts = [
            make(channels, name, follows={"channel": "main", "crop": box})
            for name, box in QUARTERS.items()
        ]
        whole = collect(channels.default.channel)
        frames = [collect(part.channel) for part in parts]
        with ExitStack() as viewers:
            for part in parts:
                viewers.enter_context(part.channel.watched())
            apart = 0
            for _ in range(300):  # what four screens show at any moment
                numbers = [
                    frame.number for part in parts if (frame := part.channel.buffer.newest())
                ]
                apart = max(apart, max(numbers, default=0) - min(numbers, default=0))
                time.sleep(0.002)
            wait_until(lambda: all(len(found) > 20 for found in frames))
        assert parts[0].size() == (64, 64)
        assert parts[0].meter.frames == len(frames[0])
    shots = len(engine.shots)
    assert shots == channels.default.channel.last_number, "nothing is painted for the parts"
    assert apart <= 1
    by_number = {frame.number: frame for frame in whole}
    for index, found in enumerate(frames):
        numbers = [frame.number for frame in found]
        assert numbers == sorted(set(numbers))
        for frame in found:
            with Image.open(io.BytesIO(by_number[frame.number].jpeg)) as opened:
                box = (64 * (index % 2), 64 * (index // 2))
                wanted = np.asarray(opened.convert("RGB").crop((*box, box[0] + 64, box[1] + 64)))
            assert colour(frame.jpeg) == pytest.approx(wanted.mean((0, 1)), abs=3)
            assert frame.shot == by_number[frame.number].shot
            assert " crop-" in frame.fingerprint
    assert {frame.channel for found in frames for frame in found} == set(QUARTERS)


def test_a_change_is_shown_by_the_part_after_the_same_number(tmp_path: Path) -> None:
    with registry(tmp_path, "main") as channels:
        part = make(channels, "a", follows={"channel": "main", "crop": [0, 0, 0.5, 1]})
        frames = collect(part.channel)
        with part.channel.watched():
            wait_until(lambda: len(frames) > 3)
            change = channels.default.channel.change({"prompt": "others"})
            assert part.channel.last_change.after == change.after
            assert part.channel.last_number >= change.after
            wait_until(lambda: frames[-1].number > change.after + 3)
    for frame in frames:
        assert (frame.shot.prompt == "others") == (frame.number > change.after)


def test_a_part_wakes_its_leader_and_lets_it_rest(tmp_path: Path) -> None:
    with registry(tmp_path, "main") as channels:
        leader = channels.default.channel
        part = make(channels, "a", follows={"channel": "main", "crop": [0, 0, 0.5, 1]})
        with leader.watched():
            wait_until(lambda: leader.last_number > 5)
        assert part.channel.buffer.newest() is None, "nobody watches it"
        with part.channel.watched():
            assert leader.wanted
            wait_until(lambda: part.channel.buffer.newest())
        assert not leader.wanted


def test_a_part_of_a_follower_is_cut_and_its_thread_ends_with_the_last_part(tmp_path: Path) -> None:
    with registry(tmp_path, "main") as channels:
        make(channels, "left", follows={"channel": "main", "seed": 3})
        for name in ("a", "b"):
            made = make(channels, name, follows={"channel": "left", "crop": [0, 0, 1, 0.5]})
            with made.channel.watched():
                wait_until(lambda made=made: made.channel.buffer.newest())
        for name in ("a", "b", "left"):
            channels.remove(name)
        assert channels._croppers == {}


# -- what is refused ---------------------------------------------------------------------------


def test_a_channel_that_is_followed_stays_and_no_follower_is_followed(tmp_path: Path) -> None:
    with registry(tmp_path, "main,left") as channels:
        make(channels, "a", follows={"channel": "left", "seed": 1})
        make(channels, "b", follows={"channel": "left", "crop": [0, 0, 1, 0.5]})
        with pytest.raises(ChannelConflict, match="followed by a, b"):
            channels.remove("left")
        for name, how in (("a", {"seed": 1}), ("b", {"seed": 1}), ("b", {"crop": [0, 0, 1, 1]})):
            with pytest.raises(ChannelConflict, match="follows 'left'; follow that one"):
                make(channels, "c", follows={"channel": name, **how})
        with pytest.raises(UnknownChannel):
            make(channels, "c", follows={"channel": "c", "seed": 1})
        assert [live.name for live in channels] == ["main", "left", "a", "b"]
        for name in ("a", "b", "left"):
            channels.remove(name)


@pytest.mark.parametrize(
    "value",
    [
        "main", [], {}, {"channel": 1, "seed": 1}, {"channel": "main"},
        {"channel": "main", "seed": 1, "phase": 1}, {"channel": "main", "seed": -1},
        {"channel": "main", "seed": 1.5}, {"channel": "main", "seed": True},
        {"channel": "main", "phase": "far"}, {"channel": "main", "phase": float("nan")},
        {"channel": "main", "crop": [0, 0, 1]}, {"channel": "main", "crop": [0, 0, 0, 1]},
        {"channel": "main", "crop": [0.5, 0, 0.6, 1]}, {"channel": "main", "crop": [0, 0, 64, 64]},
        {"channel": "main", "crop": [-0.1, 0, 1, 1]}, {"channel": "main", "crop": "all"},
        {"channel": "main", "seed": 1, "mirror": True},
    ],
)  # fmt: skip
def test_a_wrong_follows_is_one_sentence(value: object) -> None:
    with pytest.raises(ChannelError) as refused:
        follows_of(value)
    assert str(refused.value).endswith((".", "instead"))
    assert len(str(refused.value)) < 200


def test_a_follower_has_no_size_and_a_part_no_rate_of_its_own(tmp_path: Path) -> None:
    with registry(tmp_path, "main", fps=20) as channels:
        seed, crop = {"channel": "main", "seed": 1}, {"channel": "main", "crop": [0, 0, 1, 0.5]}
        for body in ({"follows": seed, "width": 64}, {"follows": crop, "target_fps": 5}):
            with pytest.raises(ChannelError, match="that of the channel that it follows"):
                make(channels, "a", **body)
        assert make(channels, "a", follows=seed, target_fps=5).spec.target_fps == 5
        assert make(channels, "b", follows=crop).spec.target_fps == 20


def test_parts_that_touch_share_an_edge() -> None:
    thirds = [Follows("m", crop=(third / 3, 0, 1 / 3, 1)).pixels(100, 8) for third in range(3)]
    assert [(left, right) for left, _, right, _ in thirds] == [(0, 33), (33, 67), (67, 100)]
    assert Follows("m", crop=(0.999, 0.999, 0.001, 0.001)).pixels(10, 10) == (9, 9, 10, 10)
