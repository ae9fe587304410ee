"""A recorder over a channel of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sinks.pictures import frame, jpeg
from tests.stream.running import wait_until
from turbostream.settings import Settings
from turbostream.sinks.recorder import Recorder
from turbostream.stream.channel import Channel
from turbostream.stream.scene import Scene

GREY = jpeg((90, 90, 90))


class Room:
    """A channel without a generation thread, whose frames the test publishes."""

    def __init__(self, settings: Settings) -> None:
        self.now = 1000.0
        self.channel = Channel("main", Scene.single("words"), lambda: self.now)
        self.recorder = Recorder(self.channel, settings, "demo")
        self._shown = 0  # since `begin`
        self.folder = settings.recordings_folder

    def begin(self) -> None:
        """Start, and wait until frames are recorded."""
        self.recorder.start()
        wait_until(lambda: self.channel.wanted)
        self._shown = 0

    def show(self, taken: float, picture: bytes = GREY) -> None:
        """Publish a frame whose shot was taken `taken` seconds after the beginning."""
        self.now = 1000.0 + taken
        newest = self.channel.buffer.newest()
        number = newest.number + 1 if newest else 1
        self.channel.buffer.publish(frame(number, self.now, picture))
        self._shown += 1

    def settle(self) -> None:
        """Wait until all frames are recorded or left out, or the recording has ended."""
        wait_until(lambda: self._counted() == self._shown or not self.recorder.status()["on"])

    def _counted(self) -> int:
        status = self.recorder.status()
        return status["frames"] + status["dropped"]

    def wait_for_end(self) -> str:
        """Why the recording ended by itself."""
        wait_until(lambda: not self.recorder.status()["on"])
        return self.recorder.status()["message"]

    def video(self) -> Path:
        """The only one."""
        (found,) = self.folder.glob("*.mp4")
        return found


@pytest.fixture
def make_room(tmp_path: Path) -> Iterator[Callable[..., Room]]:
    rooms: list[Room] = []

    def make(**changes: Any) -> Room:
        values = {"target_fps": 30, "initial_prompt": "words", "model_id": "demo"}
        values |= {"server_port": 0, "state_dir": tmp_path, **changes}
        rooms.append(Room(Settings(**values)))
        return rooms[-1]

    yield make
    for room in rooms:
        assert not room.recorder.stop(timeout_s=30.0)["on"]


@pytest.fixture
def room(make_room: Callable[..., Room]) -> Room:
    return make_room()
