"""A recording has the frames at their times, delays none, and ends with one sentence."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.engines import ColourEngine, opens
from tests.sinks.conftest import GREY, Room
from tests.sinks.pictures import frame, jpeg, noise, probe, times
from tests.stream.running import collect, running, wait_until
from turbostream.settings import Settings
from turbostream.sinks import open_sinks, recorder
from turbostream.sinks.recorder import Recorder
from turbostream.sinks.session_lines import FrameAt, SceneAt
from turbostream.sinks.session_reader import read_session
from turbostream.sinks.take import Take
from turbostream.stream.channel import Channel
from turbostream.stream.recording import NoSuchRecording, RecordingConflict, RecordingError
from turbostream.stream.scene import Scene
from turbostream.stream.shot import InputPicture, Shot


def test_the_video_has_each_frame_at_the_time_of_its_shot(room: Room) -> None:
    wanted = [0.1, 0.104, 0.5, 0.533, 3.0, 3.001, 3.25]
    room.begin()
    for taken in wanted:
        room.show(taken)
    status = room.recorder.stop()
    assert status["message"] == f"{status['name']} was recorded."
    assert (status["on"], status["frames"], status["dropped"]) == (False, 7, 0)
    assert status["seconds"] == pytest.approx(3.15, abs=0.001)
    assert status["bytes"] == room.video().stat().st_size
    assert np.abs(np.subtract(times(room.video()), wanted) + 0.1).max() < 0.0001


def test_the_session_has_every_frame_and_every_scene_since_the_start(room: Room) -> None:
    room.channel.change({"prompt": "before"})
    room.begin()
    for number in range(5):
        room.show(number / 10)
        room.channel.change({"prompt": f"words {number}", "fade_s": 1})
    name = room.recorder.stop()["name"]
    session = read_session(room.recorder.path(f"{name}.jsonl.gz"))
    assert (session.header.model, session.header.size) == ("demo", (64, 64))
    events = list(session.events())
    scenes = [one.scene.prompt for one in events if isinstance(one, SceneAt)]
    assert scenes == ["before", *(f"words {number}" for number in range(5))]
    frames = [(one.number, one.at) for one in events if isinstance(one, FrameAt)]
    assert frames == [(number + 1, pytest.approx(number / 10)) for number in range(5)]


def test_frames_are_painted_while_a_recording_is_in_progress(tmp_path: Path) -> None:
    settings = Settings(
        target_fps=100, initial_prompt="a", model_id="demo", server_port=0, state_dir=tmp_path
    )
    with running(opens(ColourEngine()), fps=30) as stream:
        found = Recorder(stream.channel, settings, "demo")
        published = collect(stream.channel)
        found.start()
        wait_until(lambda: found.status()["frames"] > 20)
        status = found.stop()
        assert not stream.channel.wanted
    recorded = times(settings.recordings_folder / f"{status['name']}.mp4")
    session = read_session(found.path(f"{status['name']}.jsonl.gz"))
    numbers = [one.number for one in session.frames()]
    taken = [frame.taken for frame in published if frame.number in numbers]
    shown = np.subtract(taken, taken[0])
    assert status["dropped"] == 0
    assert len(recorded) == status["frames"]
    assert np.abs(np.subtract(recorded, shown)).max() < 0.002


def test_a_recording_that_nobody_started_costs_nothing_and_a_stop_does_nothing(room: Room) -> None:
    room.show(0.0)
    assert room.recorder.stop() == {
        "on": False, "name": None, "seconds": 0.0, "bytes": 0, "frames": 0, "dropped": 0,
        "message": "Nothing has been recorded yet.",
    }  # fmt: skip
    assert room.recorder.recordings() == []
    assert not room.folder.exists()


def test_a_second_recording_at_once_is_refused_and_the_first_goes_on(room: Room) -> None:
    room.begin()
    room.show(0.0)
    with pytest.raises(RecordingConflict, match="is being recorded already; stop that recording"):
        room.recorder.start()
    room.show(0.1)
    assert room.recorder.stop()["frames"] == 2
    assert len(room.recorder.recordings()) == 1


def test_a_recording_after_another_is_a_file_of_its_own(room: Room) -> None:
    for frames in (3, 5):
        room.begin()
        for number in range(frames):
            room.show(room.now - 1000 + 0.1 + number)
        assert room.recorder.stop()["frames"] == frames
    assert [entry["frames"] for entry in room.recorder.recordings()] == [5, 3]


def test_the_recording_in_progress_is_listed_and_cannot_be_deleted(room: Room) -> None:
    room.begin()
    room.show(0.0)
    room.settle()
    name = room.recorder.status()["name"]
    assert name is not None
    assert [entry["name"] for entry in room.recorder.recordings()] == [name]
    with pytest.raises(RecordingConflict, match="stop the recording first"):
        room.recorder.delete(name)
    with pytest.raises(NoSuchRecording, match="complete when"):
        room.recorder.path(f"{name}.jsonl.gz")
    room.recorder.stop()
    assert room.recorder.path(f"{name}.jsonl.gz").is_file()
    room.recorder.delete(name)
    assert list(room.folder.iterdir()) == []


def test_a_recording_without_a_frame_leaves_no_file(room: Room) -> None:
    room.begin()
    assert room.recorder.stop()["frames"] == 0
    assert list(room.folder.iterdir()) == []


def test_frames_that_were_in_flight_at_the_start_are_not_part_of_it(room: Room) -> None:
    room.begin()
    room.show(-0.05)
    for taken in (0.02, 0.04):
        room.show(taken)
    assert room.recorder.stop()["frames"] == 2


def test_an_encoder_that_cannot_keep_up_leaves_out_whole_frames_and_counts_them(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frames come faster than pictures of noise can be encoded."""
    room.begin()
    picture = noise(512)
    for number in range(100):
        room.show(number / 20, picture)
    status = room.recorder.stop()
    assert status["frames"] + status["dropped"] == 100
    assert 11 <= status["frames"] < 100, "the last half second is never left out"
    kept = times(room.video())
    assert len(kept) == status["frames"]
    assert np.abs(np.multiply(kept, 20) - np.round(np.multiply(kept, 20))).max() < 0.01
    name = status["name"]
    session = read_session(room.recorder.path(f"{name}.jsonl.gz"))
    assert len(list(session.frames())) == 100, "their recipes are all there"


def test_a_disk_that_hangs_delays_no_frame_and_takes_no_more_memory(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, goes_on = threading.Event(), threading.Event()
    add = Take.frame

    def hangs(take: Take, *arguments: Any) -> None:
        reached.set()
        assert goes_on.wait(30.0)
        add(take, *arguments)

    monkeypatch.setattr(Take, "frame", hangs)
    room.begin()
    room.show(0.0)
    assert reached.wait(30.0)
    listened = []
    for number in range(1, 2 * recorder.MOST_WAITING):
        began = time.perf_counter()
        room.show(number / 100)
        listened.append(time.perf_counter() - began)
    assert sorted(listened)[len(listened) // 2] < 0.0005
    assert room.recorder.status()["dropped"] >= recorder.MOST_WAITING - 1
    goes_on.set()
    status = room.recorder.stop()
    assert status["frames"] + status["dropped"] == 2 * recorder.MOST_WAITING


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
def test_the_recorder_gives_way_to_the_engine(room: Room) -> None:
    room.begin()
    (thread,) = [one for one in threading.enumerate() if one.name == "recorder"]
    assert thread.native_id is not None
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert os.getpriority(os.PRIO_PROCESS, thread.native_id) > own


def test_the_systems_clock_has_no_effect_on_the_times(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.begin()
    room.show(0.0)
    for number in range(1, 20):
        monkeypatch.setattr(time, "time", lambda number=number: 1e9 - 86_400 * number)
        room.show(number / 10)
        room.settle()
    room.recorder.stop()
    assert times(room.video()) == [pytest.approx(number / 10) for number in range(20)]


def test_the_channels_own_clock_does_not_follow_the_systems(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    channel = Channel("main", Scene.single("words"))
    taken = []
    for number in range(20):
        monkeypatch.setattr(time, "time", lambda number=number: 1e9 - 86_400 * number)
        taken.append(channel.take_shot().taken)
    assert taken == sorted(taken)
    assert taken[-1] - taken[0] < 60


def test_pictures_of_another_size_end_the_recording_with_both_sizes(room: Room) -> None:
    room.begin()
    room.show(0.0)
    room.show(0.1)
    room.show(0.2, jpeg((9, 9, 9), (80, 64)))
    assert "changed from 64x64 to 80x64" in room.wait_for_end()
    assert times(room.video()) == [0.0, pytest.approx(0.1)]
    room.begin()
    room.show(1.0, jpeg((9, 9, 9), (80, 64)))
    assert room.recorder.stop()["frames"] == 1, "the next one has the new size"


def test_controllers_learn_of_a_recording_that_ends_by_itself(room: Room) -> None:
    room.begin()
    heard: list[bool] = []
    room.channel.listen_revision(lambda: heard.append(room.recorder.status()["on"]))
    room.show(0.0)
    room.show(0.1, jpeg((90, 90, 90), (128, 64)))
    wait_until(lambda: heard)
    assert heard == [False]


def test_a_malformed_picture_ends_the_recording_and_the_stream_goes_on(room: Room) -> None:
    room.begin()
    room.show(0.0)
    room.show(0.1, b"no picture")
    assert "not a JPEG" in room.wait_for_end()
    assert not room.channel.wanted
    room.show(0.2)
    assert times(room.video()) == [0.0]


def test_the_recordings_never_take_more_than_the_limit(make_room: Callable[..., Room]) -> None:
    room = make_room(recordings_max_gb=0.01)
    room.begin()
    pictures, number = [noise(512, seed) for seed in range(8)], 0
    while room.channel.wanted:
        room.show(number / 10, pictures[number % 8])
        room.settle()
        number += 1
    assert "The recordings take 0.01 GB, the limit; delete some" in room.wait_for_end()
    assert 0.9e7 < room.video().stat().st_size < 1.3e7
    assert (
        len(probe(room.video(), "packet=pts_time")["packets"]) == (room.recorder.status()["frames"])
    )
    with pytest.raises(RecordingError, match="higher RECORDINGS_MAX_GB"):
        room.recorder.start()


def test_input_pictures_count_towards_the_limit_while_frames_are_left_out(
    make_room: Callable[..., Room],
) -> None:
    room = make_room(recordings_max_gb=0.01)
    random = np.random.default_rng(0)

    def find(sha256: str) -> np.ndarray[Any, Any]:
        return random.integers(0, 256, (512, 512, 3), np.uint8)

    recordings = room.recorder._recordings
    take = Take(recordings, room.recorder._settings, "demo", find)
    take.scene(Scene.single("words"), 0.0)
    take.frame(frame(1, 0.0, GREY), skip=False)

    def add_more() -> None:
        for number in range(2, 40):
            source = InputPicture(f"{number:064x}")
            shot = replace(Shot.single("words", 1), source=source, strength=0.5)
            take.frame(replace(frame(number, 0.1 * number, GREY), shot=shot), skip=True)

    try:
        with pytest.raises(RecordingError, match=r"take 0\.01 GB, the limit"):
            add_more()
    finally:
        take.close()
    assert 0.9e7 < recordings.sources(take.name).stat().st_size < 1.6e7


class Context:
    """The application context, as far as the sinks know it."""

    def __init__(self, room: Room, settings: Settings) -> None:
        self.settings, self.channel, self.model_id = settings, room.channel, "demo"
        self.recorder: object = None


def test_the_sinks_record_from_the_start_if_asked(
    room: Room, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(
        target_fps=30, initial_prompt="a", model_id="demo", server_port=0, state_dir=tmp_path
    )
    context = Context(room, settings)
    sinks = open_sinks(context, record=True)  # type: ignore[arg-type]
    assert context.recorder is sinks.recorder
    sinks.start()
    wait_until(lambda: room.channel.wanted)
    room.show(0.0, GREY)
    sinks.stop(timeout_s=30.0)
    assert sinks.recorder.status()["frames"] == 1
    for file in room.folder.iterdir():
        file.unlink()
    room.folder.rmdir()
    room.folder.touch()
    sinks.start()
    assert "is not a folder" in caplog.text
