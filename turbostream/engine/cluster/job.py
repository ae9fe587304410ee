"""A submission on its way through the workers. The dispatcher's thread, but for `pictures`."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from turbostream.stream.engine_api import Picture
from turbostream.stream.shot import Shot, Source

ATTEMPTS = 2  # on how many workers a submission is tried


class Job:
    """sources, pixels: the pictures of the shots' sources, and references to their pixels in the
    object store. since: awake s. tried, running: the workers that it was and is on."""

    def __init__(
        self, shots: Sequence[Shot], sources: Sequence[Source], pixels: Sequence[Any], since: float
    ) -> None:
        self.shots, self.sources, self.pixels = list(shots), list(sources), list(pixels)
        self.since = since
        self.pictures: Future[list[Picture]] = Future()
        self.tried: list[object] = []
        self.running: set[object] = set()

    @property
    def may_be_tried(self) -> bool:
        return len(self.tried) < ATTEMPTS

    def painted(self, pictures: list[Picture]) -> None:
        """The first of several answers counts: all are the same pictures."""
        if not self.pictures.done():
            self.pictures.set_result(pictures)

    def failed(self, error: BaseException) -> None:
        if not self.pictures.done():
            self.pictures.set_exception(error)
