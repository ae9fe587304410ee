"""A folder that cannot be written, or a disk that fills: one sentence, and what is there plays."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.disks import mounted, needs_mounts
from tests.sinks.conftest import Room
from tests.sinks.pictures import noise, probe, times
from turbostream.sinks import take
from turbostream.sinks.session_reader import read_session
from turbostream.stream.recording import RecordingError

MakeRoom = Callable[..., Room]


def fill(room: Room) -> int:
    """Record pictures of noise until the recording ends; how many were shown."""
    pictures, number = [noise(256, seed) for seed in range(8)], 0
    room.begin()
    while room.channel.wanted:
        room.show(number / 10, pictures[number % 8])
        room.settle()
        number += 1
    return number


@needs_mounts
@pytest.mark.parametrize("spare", [take.SPARE_BYTES, 0])
def test_a_disk_that_fills_ends_the_recording_and_it_plays_to_within_a_second_of_the_end(
    make_room: MakeRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spare: int
) -> None:
    """Also without the room that is left for other files: the disk then refuses a write."""
    monkeypatch.setattr(take, "SPARE_BYTES", spare)
    size = (spare >> 20) + 2
    with mounted(tmp_path / "disk", f"size={size}m") as disk:
        room = make_room(recordings_dir=disk.folder / "recordings")
        shown = fill(room)
        message = room.wait_for_end()
        reason = "is full but for 16 MiB" if spare else "No space left on device"
        assert reason in message
        assert message.endswith("give another RECORDINGS_DIR.")
        assert len(message.split(". ")) == 1
        played = times(room.video())
        assert shown / 10 - played[-1] <= 1.0
        status = room.recorder.status()
        assert status["bytes"] == room.video().stat().st_size
        (session,) = room.folder.glob("*.jsonl*")
        assert len(list(read_session(session).frames())) >= len(played) - 1
        if spare:
            with pytest.raises(RecordingError, match="is full but for"):
                room.recorder.start()
        name = status["name"]
        assert name is not None
        room.recorder.delete(name)
        room.begin()
        room.show(1000.0, noise(64))
        assert room.recorder.stop()["frames"] == 1, "once there is room"


@needs_mounts
def test_a_disk_that_another_program_fills_loses_no_more_than_the_last_second(
    make_room: MakeRoom, tmp_path: Path
) -> None:
    with mounted(tmp_path / "disk", "size=40m") as disk:
        room = make_room(recordings_dir=disk.folder / "recordings")
        room.begin()
        for number in range(20):
            room.show(number / 10, noise(64, number))
            room.settle()
        disk.fill()
        for number in range(20, 40):
            room.show(number / 10, noise(64, number))
            room.settle()
        assert not room.recorder.status()["on"]
        assert times(room.video())[-1] >= 1.0
        assert probe(room.video(), "format=duration")["format"]


@needs_mounts
def test_a_read_only_folder_is_refused_in_one_sentence(make_room: MakeRoom, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=40m") as disk:
        room = make_room(recordings_dir=disk.folder)
        disk.make_read_only()
        with pytest.raises(
            RecordingError, match=r"Nothing can be recorded to .*Read-only file sys"
        ):
            room.recorder.start()
        assert not room.channel.wanted
        assert not room.recorder.status()["on"]


@needs_mounts
def test_a_folder_below_a_read_only_one_is_refused_in_one_sentence(
    make_room: MakeRoom, tmp_path: Path
) -> None:
    with mounted(tmp_path / "disk", "size=40m") as disk:
        disk.make_read_only()
        room = make_room(recordings_dir=disk.folder / "recordings")
        with pytest.raises(RecordingError, match="Read-only file system"):
            room.recorder.start()


@pytest.mark.parametrize("kind", ["file", "fifo"])
def test_what_is_no_folder_is_refused_in_one_sentence_at_the_start_of_a_recording(
    make_room: MakeRoom, tmp_path: Path, kind: str
) -> None:
    """A setting that names it is refused at the start; here it came later."""
    folder = tmp_path / "recordings"
    room = make_room(recordings_dir=folder)
    if kind == "fifo":
        os.mkfifo(folder)
    else:
        folder.touch()
    with pytest.raises(RecordingError, match="is not a folder: remove it, or give another"):
        room.recorder.start()
    assert not room.recorder.status()["on"]


def test_a_folder_that_is_missing_is_made(make_room: MakeRoom, tmp_path: Path) -> None:
    room = make_room(recordings_dir=tmp_path / "one" / "two")
    room.begin()
    room.show(0.0)
    room.recorder.stop()
    assert times(room.video()) == [0.0]
    assert room.folder.stat().st_mode & 0o077 == 0
    assert room.video().stat().st_mode & 0o077 == 0


def test_a_folder_that_is_removed_meanwhile_ends_the_recording_at_the_latest(
    make_room: MakeRoom, tmp_path: Path
) -> None:
    room = make_room(recordings_dir=tmp_path / "recordings")
    room.begin()
    room.show(0.0)
    room.settle()
    for file in room.folder.iterdir():
        file.unlink()
    room.folder.rmdir()
    for number in range(1, 30):
        room.show(number / 10)
        room.settle()
    assert "Nothing can be recorded to" in room.wait_for_end()
    room.begin()
    room.show(10.0)
    assert room.recorder.stop()["frames"] == 1
