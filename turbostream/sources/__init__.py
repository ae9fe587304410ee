"""Where the pictures come from that frames start from (see README.md here).

`open_sources` is all that the entry point calls. Nothing here imports PyAV in the program's own
process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from turbostream.settings import Settings
from turbostream.sources import earlier
from turbostream.sources.feed import Feed
from turbostream.sources.intake import Intake
from turbostream.sources.picture import Pixels
from turbostream.stream.channel import Channel
from turbostream.stream.frame import FrameBuffer
from turbostream.stream.shot import EarlierFrame, ShotError, Source
from turbostream.stream.source_status import SourceStatus


class InputSources:
    """The sources of one channel; implements `source_status.Sources`. Any thread."""

    def __init__(
        self,
        settings: Settings,
        channel: Channel,
        stopped: Callable[[InputSources], object] = lambda sources: None,
    ) -> None:
        """stopped: called when these are stopped."""
        self._beside: tuple[InputSources, ...] = ()  # of the other channels
        self._buffers: dict[str | None, FrameBuffer] = {None: channel.buffer}
        self._changing, self._stopped = threading.Lock(), stopped
        self._intake = Intake(channel, settings)
        self._feed = None
        if settings.source != "none":
            self._feed = Feed(self._intake, channel, settings)
            # A part of the first scene: there is nothing to undo.
            channel.adjust(lambda scene, now: replace(scene, source="picture"))
        self.offer, self.put = self._intake.offer, self._intake.put
        self.leave = self._intake.leave
        self.clear, self.picture = self._intake.clear, self._intake.picture
        self.find, self.listen = self._intake.find, self._intake.listen

    def start(self) -> None:
        self._intake.start()
        if self._feed is not None:
            self._feed.start()

    def stop(self, timeout_s: float) -> None:
        self._stopped(self)
        if self._feed is not None:
            self._feed.stop(timeout_s)
        self._intake.stop(timeout_s)

    def status(self) -> SourceStatus:
        return self._intake.status()

    def resolve(self, source: Source, width: int, height: int) -> Pixels:
        """See `engine_api.Resolve`; also for the channels of `open_beside`."""
        if isinstance(source, EarlierFrame):
            buffer = self._buffers.get(source.channel)
            if buffer is None:
                raise ShotError(f"There is no channel {source.channel!r} whose frame is a source.")
            return earlier.resolve(buffer, source, width, height)
        everyone = (self, *self._beside)
        having = [one for one in everyone if one.find(source.sha256) is not None] or [self]
        pictures = [one._intake.resolve(source, width, height) for one in having]  # each notes it
        return pictures[0]

    def open_beside(self, channel: Channel, settings: Settings) -> InputSources:
        """The sources of another channel, until they are stopped."""
        found = InputSources(settings, channel, self._forget)
        with self._changing:
            self._beside += (found,)
        return found

    def _forget(self, sources: InputSources) -> None:
        with self._changing:
            self._beside = tuple(one for one in self._beside if one is not sources)

    def add_frames(self, channel: Channel) -> None:
        """See `OpenedSources`."""
        with self._changing:
            self._buffers = {**self._buffers, channel.name: channel.buffer}

    def remove_frames(self, channel: Channel) -> None:
        """See `OpenedSources`."""
        with self._changing:
            self._buffers = {
                name: buffer
                for name, buffer in self._buffers.items()
                if buffer is not channel.buffer
            }


def open_sources(settings: Settings, channel: Channel) -> InputSources:
    """Made before the engine, which gets `resolve`. With SOURCE, the scene in force from now on has
    the source `picture`, as what the settings give."""
    return InputSources(settings, channel)
