"""Where the frames go beside the viewers: recordings, sessions, broadcasts.

`open_sinks` is all that the entry point calls. Nothing here imports PyAV before there is something
to encode.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Protocol

from turbostream.settings import Settings
from turbostream.sinks.broadcast import Broadcaster
from turbostream.sinks.clip import Clips
from turbostream.sinks.recorder import Recorder
from turbostream.stream import recording
from turbostream.stream.channel import Channel
from turbostream.stream.source_status import Sources

log = logging.getLogger(__name__)


class Context(Protocol):
    """What the sinks read of the application context, and what they add to it."""

    settings: Settings
    model_id: str
    sources: Sources | None
    recorder: recording.Recorder | None
    broadcaster: recording.Broadcaster | None
    clip: recording.Clip | None

    @property
    def channel(self) -> Channel: ...


@dataclass(frozen=True)
class Sinks:
    """record: whether a recording begins with the program; push: whether a broadcast does."""

    recorder: Recorder
    broadcaster: Broadcaster
    record: bool
    push: bool

    def start(self) -> None:
        """If the recording or the broadcast cannot begin, the log says why, and the stream goes
        on."""
        if self.record:
            try:
                self.recorder.start()
            except recording.RecordingError as error:
                log.error("[record] %s", error)
        if self.push:
            try:
                self.broadcaster.start()
            except recording.RecordingError as error:
                log.error("[push] %s", error)

    def stop(self, timeout_s: float) -> None:
        """End what is in progress. A recording that is not complete by then can be played, and its
        session be read, up to the last half second."""
        self.broadcaster.stop(timeout_s)
        self.recorder.stop(timeout_s)


def open_sinks(context: Context, record: bool = False) -> Sinks:
    """Make the sinks and put them into `context`. record: the option --record. With KEEP_SOURCES
    the input pictures are kept with the recordings."""

    def find(sha256: str) -> Any:
        return None if context.sources is None else context.sources.find(sha256)

    kept = find if context.settings.keep_sources else None
    recorder = Recorder(context.channel, context.settings, context.model_id, kept)
    broadcaster = Broadcaster(context.channel, context.settings)
    context.recorder, context.broadcaster = recorder, broadcaster
    context.clip = Clips(context.channel)
    return Sinks(recorder, broadcaster, record, push=context.settings.push_url != "none")
