"""Channels that follow another one: they have its scene, and take no changes of their own.

A leader calls its followers under its lock, and no follower calls its leader under its own, so that
the order of the locks is always the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from turbostream.stream.channel import Change, Channel
from turbostream.stream.follows import Follows
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import SceneError


class Following(SceneError):
    """The scene of a channel that follows cannot be changed."""


class Follower(Channel):
    """`leader` with the noise of another seed or phase; painted beside it."""

    def __init__(self, name: str, leader: Channel, follows: Follows) -> None:
        self.leader, self._follows = leader, follows
        super().__init__(name, leader.scene, leader._clock, default=False)
        leader.listen_scenes(self._adopt, at_once=True)
        leader.listen_given(self._hear_given)
        self._hear_given()

    def leave(self) -> None:
        """Follow no more, since the channel is removed."""
        self.leader.forget(self._adopt)
        self.leader.forget(self._hear_given)

    def require_own_scene(self) -> None:
        raise Following(
            f"The channel {self.name} follows {self.leader.name}; change that one instead."
        )

    def change(self, *arguments: Any, **options: Any) -> Change:
        self.require_own_scene()
        raise AssertionError

    recall = adjust = resume = _step = change  # type: ignore[assignment]

    def _adopt(self, scene: Scene, now: float) -> None:
        """Under the leader's lock."""
        with self._lock:
            self._put(self._own(scene), now)
        self._announce()

    def _own(self, scene: Scene) -> Scene:
        return scene.shifted(self._follows.seed or 0, self._follows.phase or 0.0)

    def _hear_given(self) -> None:
        self.give_picture(self.leader.given.picture)


class Crop(Follower):
    """A part of each picture of `leader`, under the same number; `cropper.py` publishes it."""

    def _own(self, scene: Scene) -> Scene:
        self._number = self.leader._number  # its lock is held by the caller
        return scene

    @property
    def last_number(self) -> int:
        return self.leader.last_number

    @contextmanager
    def watched(self) -> Iterator[None]:
        with super().watched(), self.leader.watched():  # the leader's first picture is cut too
            yield

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) in the leader's picture of this size in pixels."""
        return self._follows.pixels(width, height)
