"""Channels whose input pictures are the frames of another channel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from turbostream.stream.channel import Channel
from turbostream.stream.frame import Frame
from turbostream.stream.scene import Scene
from turbostream.stream.source_status import Sources


class Downstream(Channel):
    """Has a scene of its own, which begins with `picture` as its source.

    Upstream channels exist before those that they flow into, so there are no circles.
    """

    def __init__(self, name: str, upstream: Channel, initial: Scene, **options: Any) -> None:
        super().__init__(name, initial, **options)
        self._upstream = upstream
        self._sources: Sources | None = None

    def flow_into(self, sources: Sources) -> None:
        """Offer each frame of the upstream channel to `sources`, which are those of this one."""
        self._sources = sources
        self._upstream.buffer.listen(self._offer)

    def leave(self) -> None:
        """Take no more frames, since the channel is removed."""
        self._upstream.buffer.forget(self._offer)

    @contextmanager
    def watched(self) -> Iterator[None]:
        with super().watched(), self._upstream.watched():
            yield

    def _offer(self, frame: Frame) -> None:
        """On the thread that publishes: it returns at once."""
        if self.wanted and self._sources is not None:
            self._sources.offer(frame.source, f"channel {frame.channel}")
