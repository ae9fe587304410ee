"""What is known of a picture on its way through the intake, and of the stage that it is for."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from turbostream.settings import Settings
from turbostream.sources.picture import Original, Pixels
from turbostream.stream.channel import Channel
from turbostream.stream.source_status import SourceError

UNWATCHED_S = 0.25  # between two pictures while nobody watches: cheap, and the next viewer's is new
FAILED = SourceError("A picture failed by an error of the program; see the log.")


class Offered(NamedTuple):
    """A picture that is not decoded yet.

    decode: for a stage of so many pixels a side, see `picture.decode`. at: when it came, on the
    monotonic clock. era: how often pictures had been forgotten by then. sender: whose it is, see
    `source_status.Sources`; None: it stays, whoever leaves.
    """

    decode: Callable[[int], Original]
    origin: str
    at: float
    era: int
    fit: str
    mirror: bool
    sender: object = None

    @property
    def is_somebodys(self) -> bool:
        """Whether it came from a browser or a request, and not from the setting SOURCE."""
        return self.origin in ("browser", "request")


class Decoded(NamedTuple):
    original: Original
    offered: Offered


class Stage:
    """What a channel's pictures are fitted to. Any thread."""

    def __init__(self, channel: Channel, settings: Settings) -> None:
        self._channel, self._settings = channel, settings

    def size(self) -> tuple[int, int] | None:
        """(width, height) in pixels: WIDTH and HEIGHT, or else of the newest frame; None before the
        first frame."""
        width, height = self._settings.width, self._settings.height
        if width is not None and height is not None:
            return width, height
        newest = self._channel.buffer.newest()
        if newest is None:
            return None
        with Image.open(io.BytesIO(newest.jpeg), formats=("JPEG",)) as image:
            return image.size


def is_near(one: Pixels, other: Pixels, threshold: float) -> bool:
    """Whether two pictures differ by less than `threshold` levels on average; 0: they never do."""
    if not threshold or one.shape != other.shape:
        return False
    return float(np.abs(one.astype(np.int16) - other).mean()) < threshold
