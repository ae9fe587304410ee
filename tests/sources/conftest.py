"""Sources over a channel without a generation thread, whose frames the test publishes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.sources.files import jpeg
from tests.stream.running import wait_until
from turbostream.settings import Settings
from turbostream.sources import InputSources, open_sources
from turbostream.stream.frame import Frame, FrameBuffer
from turbostream.stream.shot import InputPicture, Shot

SIZE = (64, 48)  # of the stage


@dataclass
class FakeScene:
    source: str = "none"


class FakeChannel:
    """What the sources need of a channel. given: each digest, in order."""

    def __init__(self) -> None:
        self.buffer = FrameBuffer()
        self.scene = FakeScene()
        self.wanted = True
        self.given: list[str | None] = []
        self._number = 0

    def give_picture(self, digest: str | None) -> None:
        self.given.append(digest)

    def adjust(self, adjusted: Callable[[FakeScene, float], FakeScene]) -> None:
        self.scene = adjusted(self.scene, 0.0)

    def show(self, colour: tuple[int, int, int] = (9, 9, 9), size: tuple[int, int] = SIZE) -> int:
        """Publish a frame; its number."""
        self._number += 1
        shot = Shot.single("words", 1)
        self.buffer.publish(Frame(self._number, jpeg(colour, size), shot, 1.0, {}, "test"))
        return self._number


class Room:
    """Sources and their channel; `start` shows a frame first, so that the stage has a size."""

    def __init__(self, settings: Settings) -> None:
        self.channel = FakeChannel()
        self.settings = settings
        self.sources: InputSources = open_sources(settings, self.channel)  # type: ignore[arg-type]

    def start(self, shown: bool = True) -> Room:
        if shown:
            self.channel.show()
        self.sources.start()
        return self

    def pixels(self) -> np.ndarray[Any, Any]:
        """What the engine gets of the newest input picture."""
        digest = self.channel.given[-1]
        assert digest is not None
        return self.sources.resolve(InputPicture(digest), *SIZE)

    def colour(self) -> tuple[int, ...]:
        """Of the middle of that picture."""
        return tuple(int(level) for level in self.pixels()[SIZE[1] // 2, SIZE[0] // 2])

    def shows(self, colour: tuple[int, int, int], within: int = 12) -> bool:
        if not self.channel.given or self.channel.given[-1] is None:
            return False
        return max(abs(a - b) for a, b in zip(self.colour(), colour, strict=True)) <= within

    def wait_for(self, colour: tuple[int, int, int]) -> None:
        wait_until(lambda: self.shows(colour))

    def wait_for_message(self, text: str) -> str:
        wait_until(lambda: text in self.sources.status()["message"])
        return self.sources.status()["message"]

    def done(self) -> int:
        """How many pictures have been dealt with."""
        status = self.sources.status()
        return status["used"] + status["dropped"] + status["refused"]

    def settle(self) -> None:
        wait_until(lambda: self.done() == self.sources.status()["received"])


@pytest.fixture
def make_room(tmp_path: Path) -> Iterator[Callable[..., Room]]:
    rooms: list[Room] = []

    def make(**changes: Any) -> Room:
        values = {"target_fps": 30, "initial_prompt": "words", "model_id": "demo"}
        values |= {"server_port": 0, "state_dir": tmp_path / "state", **changes}
        rooms.append(Room(Settings(**values)))
        return rooms[-1]

    yield make
    for room in rooms:
        room.sources.stop(timeout_s=10.0)


@pytest.fixture
def room(make_room: Callable[..., Room]) -> Room:
    return make_room().start()
