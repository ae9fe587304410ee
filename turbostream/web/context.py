"""The application context: what the routes know of the rest of the program.

`AppContext` is what the process has; what a channel has is a `LiveChannel`, which a route asks for
once (`routes/requested.py`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import Any

from turbostream.settings import Settings
from turbostream.stream.channel import Channel
from turbostream.stream.channel_spec import ChannelSpec
from turbostream.stream.channels import Channels
from turbostream.stream.desk import Desk
from turbostream.stream.live_channel import LiveChannel
from turbostream.stream.recording import (
    Broadcaster,
    BroadcastStatus,
    Clip,
    Recorder,
    RecordingStatus,
)
from turbostream.stream.repertoire import Repertoire
from turbostream.stream.scheduled_channel import ScheduledChannel
from turbostream.stream.source_status import OpenedSources, Sources
from turbostream.stream.supervisor import Supervisor
from turbostream.web.auth.tokens import Tokens
from turbostream.web.http.connection_slots import ConnectionSlots


@dataclass
class AppContext:
    """Made by the entry point; the routes read it, and only the entry point sets `stopping`.

    scheduled: the default channel, to which recordings, broadcasts, the setlist and OSC belong.
    """

    settings: Settings
    scheduled: ScheduledChannel
    supervisor: Supervisor
    model_id: str
    demo: bool
    words: Mapping[str, Any] | None = None  # those that a small model knows; None: no limit
    tokens: Tokens = field(default_factory=Tokens.for_this_run)
    slots: ConnectionSlots = field(default_factory=ConnectionSlots)
    awake: Callable[[], float] = time.monotonic  # stands still while the process is stopped
    stopping: bool = False
    opened: InitVar[OpenedSources | None] = None  # the input pictures of the default channel
    repertoire: Repertoire = field(init=False)  # looks and setlist
    channels: Channels = field(init=False)
    # Takes an OSC datagram of the control socket; gives one sentence if it is refused.
    datagram: Callable[[bytes], str | None] = lambda data: "This server takes no OSC messages."

    recorder: Recorder | None = None
    broadcaster: Broadcaster | None = None
    clip: Clip | None = None

    def __post_init__(self, opened: OpenedSources | None) -> None:
        channel, settings = self.channel, self.settings
        self.repertoire = Repertoire(settings, channel)
        check = self.supervisor.check
        desk = Desk(channel, self.repertoire, check, lambda: self.recorder)
        spec = ChannelSpec(channel.name, settings.target_fps, settings.width, settings.height)
        quantiser, meter = self.repertoire.quantiser, self.scheduled.meter
        default = LiveChannel(spec, channel, meter, quantiser, desk, channel.scene)
        self.channels = Channels(settings, default, self.repertoire, self.supervisor)
        if opened is not None:
            self.channels.open(opened)

    @property
    def channel(self) -> Channel:
        """The default one."""
        return self.scheduled.channel

    @property
    def kept(self) -> tuple[Repertoire, Channels]:
        """What is kept beside the scene of the default channel."""
        return self.repertoire, self.channels

    @property
    def desk(self) -> Desk:
        """The default channel's: what controllers set."""
        return self.channels.default.desk

    @property
    def sources(self) -> Sources | None:
        """The default channel's input pictures; None: this server takes none."""
        return self.channels.default.sources

    @sources.setter
    def sources(self, sources: Sources | None) -> None:
        self.channels.default.sources = sources

    def recording_status(self) -> RecordingStatus | None:
        """None if this server does not record."""
        return None if self.recorder is None else self.recorder.status()

    def broadcast_status(self) -> BroadcastStatus | None:
        """None if this server cannot broadcast."""
        return None if self.broadcaster is None else self.broadcaster.status()

    def is_stopping(self) -> bool:
        return self.stopping


def load_words(folder: Path | None) -> Mapping[str, Any] | None:
    """The words that a model knows, from words.json in its folder; None without that file."""
    file = None if folder is None else folder / "words.json"
    if file is None or not file.is_file():
        return None
    words: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return words
