"""One channel with everything that belongs to it alone. `channels.py` makes it and ends it."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from turbostream.stream.channel import Channel
from turbostream.stream.desk import Desk
from turbostream.stream.follower import Crop
from turbostream.stream.meter import Meter
from turbostream.stream.quantiser import Quantiser
from turbostream.stream.recent_shots import RecentShots
from turbostream.stream.scene import Scene
from turbostream.stream.source_status import Sources

if TYPE_CHECKING:
    from turbostream.stream.channel_spec import ChannelSpec


@dataclass(eq=False)
class LiveChannel:
    """initial: the scene that it began with. sources: of its input pictures; None: it takes none.
    kept: whether it was made by a request, so that a restart has to make it again."""

    spec: ChannelSpec
    channel: Channel
    meter: Meter
    quantiser: Quantiser
    desk: Desk
    initial: Scene
    sources: Sources | None = None
    kept: bool = False
    recent: RecentShots = field(default_factory=RecentShots)
    starts: list[Callable[[], object]] = field(default_factory=list)
    leaves: list[Callable[[], object]] = field(default_factory=list)  # called when it is removed
    stops: list[Callable[[float], object]] = field(default_factory=list)  # with a timeout in s

    def __post_init__(self) -> None:
        self.channel.buffer.listen(self.recent.add)

    @property
    def name(self) -> str:
        return self.channel.name

    def size(self) -> tuple[int | None, int | None]:
        """(width, height) in pixels: those of the scene, else of the newest frame, else None."""
        channel = self.channel
        width, height = channel.scene.width, channel.scene.height
        if width is not None and height is not None:
            if not isinstance(channel, Crop):
                return width, height
            left, top, right, bottom = channel.box(width, height)
            return right - left, bottom - top
        newest = channel.buffer.newest()
        return (width, height) if newest is None else jpeg_size(newest.jpeg)


def jpeg_size(jpeg: bytes) -> tuple[int, int]:
    """(width, height) in pixels, from the header."""
    from PIL import Image

    with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
        return image.size
