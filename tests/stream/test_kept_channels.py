"""The scenes of all channels, and the channels that a request made, survive a restart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.stream.registry import registry
from tests.stream.running import wait_until
from turbostream.stream import resume, scene_file
from turbostream.stream.channel_names import MOST_CHANNELS
from turbostream.stream.channel_spec import ChannelSpec, spec_of
from turbostream.stream.scene import Scene


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = scene_file.file_for(tmp_path, 8000)
    assert found is not None
    return found


def kept(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(file.read_text())["channels"]
    return found


def test_every_channel_goes_on_with_its_own_scene(tmp_path: Path, file: Path) -> None:
    with registry(tmp_path, "main,left", file) as channels:
        channels.create(ChannelSpec("made", 12.5, 128, 64))
        for live in channels:
            live.channel.change({"prompt": f"words of {live.name}", "motion": "hold"})
    with registry(tmp_path, "main,left", file) as again:
        assert [live.name for live in again] == ["main", "left", "made"]
        for live in again:
            assert live.channel.scene.prompt == f"words of {live.name}"
            assert live.channel.scene.motion == "hold"
        made = again.get("made")
        assert made.spec == ChannelSpec("made", 12.5, 128, 64)
        assert (made.channel.scene.width, made.channel.scene.height) == (128, 64)


def test_followers_come_back_and_follow(tmp_path: Path, file: Path) -> None:
    seed, crop = {"channel": "left", "seed": 4}, {"channel": "main", "crop": [0, 0, 0.5, 0.5]}
    with registry(tmp_path, "main", file) as channels:
        for name, body in (("left", {}), ("s", {"follows": seed}), ("c", {"follows": crop})):
            channels.create(spec_of(name, body, channels.spec_of))
        channels.get("left").channel.change({"prompt": "left words"})
    with registry(tmp_path, "main", file) as again:
        assert [live.name for live in again] == ["main", "left", "s", "c"]
        assert again.get("s").channel.scene.prompt == "left words"
        again.default.channel.change({"prompt": "main words"})
        assert again.get("c").channel.scene.prompt == "main words"
        found = [live.spec.follows for live in again]
        assert [one and one.as_json() for one in found] == [None, None, seed, crop]


def test_a_channel_that_was_removed_does_not_come_back(tmp_path: Path, file: Path) -> None:
    with registry(tmp_path, "main", file) as channels:
        for name in ("one", "two"):
            channels.create(ChannelSpec(name, 10))
        channels.remove("one")
    assert [one["name"] for one in kept(file)] == ["two"]
    with registry(tmp_path, "main", file) as again:
        assert [live.name for live in again] == ["main", "two"]


def test_a_channel_that_the_setting_names_no_more_does_not_come_back(
    tmp_path: Path, file: Path
) -> None:
    with registry(tmp_path, "main,left", file) as channels:
        channels.get("left").channel.change({"prompt": "left words"})
    with registry(tmp_path, "main", file) as again:
        assert [live.name for live in again] == ["main"]


def test_without_further_channels_the_file_is_as_it_was(tmp_path: Path, file: Path) -> None:
    with registry(tmp_path, "main", file) as channels:
        channels.default.channel.change({"prompt": "typed"})
        change, now = channels.default.channel.snapshot()
        before = resume.left(change.scene, channels.default.initial, now)
    assert set(json.loads(file.read_text())) == set(before)


def test_a_file_from_before_there_were_channels_is_read(tmp_path: Path, file: Path) -> None:
    old = resume.left(Scene.single("old words"), Scene.single("first words"), 0.0)
    file.write_text(json.dumps(old))
    with registry(tmp_path, "main,left", file) as channels:
        assert channels.default.channel.scene.prompt == "old words"
        assert channels.get("left").channel.scene.prompt == "first words"


@pytest.mark.parametrize(
    "wrong",
    [
        "left",
        {"left": {}},
        [None, 7, {}, {"name": 3}],
        [{"name": "../x", "made": True, "channel": {}, "scene": {}}],
        [{"name": "x", "made": True, "channel": {"width": 3}, "scene": {}}],
        [{"name": "x", "made": True, "channel": None, "scene": {}}],
        [{"name": "left", "scene": {"speed": "fast"}}],
        [{"name": "main", "scene": {"prompt": "not this way"}}],
    ],
)
def test_whatever_is_wrong_with_the_channels_the_rest_is_resumed(
    tmp_path: Path, file: Path, wrong: object
) -> None:
    old = resume.left(Scene.single("old words"), Scene.single("first words"), 0.0)
    file.write_text(json.dumps({**old, "channels": wrong}))
    with registry(tmp_path, "main,left", file) as channels:
        assert channels.default.channel.scene.prompt == "old words"
        assert [live.name for live in channels] == ["main", "left"]
        assert channels.get("left").channel.scene.prompt == "first words"


def test_a_file_with_too_many_channels_makes_as_many_as_there_may_be(
    tmp_path: Path, file: Path
) -> None:
    scene = resume.left(Scene.single("words"), Scene.single("first words"), 0.0)
    many = [
        {"name": f"c{number}", "made": True, "channel": {}, "scene": scene} for number in range(40)
    ]
    file.write_text(json.dumps({**scene, "channels": many}))
    with registry(tmp_path, "main", file) as channels:
        assert len(channels) == MOST_CHANNELS


def test_the_walk_of_one_channel_alone_is_written_without_waiting_for_the_disk(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bool] = []
    real = scene_file.state_folder.write

    def write(file: Path, text: str, sync: bool = True) -> None:
        synced.append(sync)
        real(file, text, sync)

    monkeypatch.setattr(scene_file.state_folder, "write", write)
    monkeypatch.setattr(scene_file, "WRITE_EVERY_S", 0.01)
    with registry(tmp_path, "main,left", file) as channels, channels.get("left").channel.watched():
        wait_until(lambda: len(synced) > 5)
    assert not any(synced[1:]), "only the first has something that lasts"
