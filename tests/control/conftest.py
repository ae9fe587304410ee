"""OSC over a real channel, desk and UDP port, without a server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.ports import free_port
from turbostream.control.osc import OscInput
from turbostream.settings import Settings
from turbostream.stream.channel import Channel
from turbostream.stream.desk import Desk
from turbostream.stream.repertoire import Repertoire
from turbostream.stream.scene import Scene

PATIENCE_S = 30.0


class Room:
    """A desk, and OscInput objects for it that are stopped with the test."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self.port = free_port()
        self.channel = Channel("main", Scene.single("first words"))
        self.desk = Desk(self.channel, Repertoire(self.settings(), self.channel), lambda shot: None)
        self._changed = threading.Condition()
        self.channel.listen(self._announce)

    def settings(self, **changes: object) -> Settings:
        given = {"osc_port": self.port} | changes
        return Settings(
            target_fps=30, initial_prompt="a", model_id="demo", server_port=0,
            state_dir=self.folder, **given,  # type: ignore[arg-type]
        )  # fmt: skip

    def input(self, **changes: object) -> OscInput:
        found = OscInput(self.settings(**changes), self.desk)
        self._stack.callback(found.stop, PATIENCE_S)
        return found

    def wait(self, true: Callable[[Scene], object]) -> Scene:
        """The scene, once `true` of it."""
        with self._changed:
            assert self._changed.wait_for(lambda: true(self.channel.scene), PATIENCE_S)
        return self.channel.scene

    def _announce(self) -> None:
        with self._changed:
            self._changed.notify_all()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with ExitStack() as stack:
        yield Room(tmp_path, stack)
