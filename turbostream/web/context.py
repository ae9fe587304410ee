"""The application context: what the routes know of the rest of the program."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from turbostream.settings import Settings
from turbostream.stream.channel import Channel
from turbostream.stream.desk import Desk
from turbostream.stream.meter import Meter
from turbostream.stream.recording import (
    Broadcaster,
    BroadcastStatus,
    Clip,
    Recorder,
    RecordingStatus,
)
from turbostream.stream.repertoire import Repertoire
from turbostream.stream.source_status import Sources
from turbostream.stream.supervisor import Supervisor
from turbostream.web.auth.tokens import Tokens
from turbostream.web.http.connection_slots import ConnectionSlots


@dataclass
class AppContext:
    """Made by the entry point; the routes read it, and only the entry point sets `stopping`."""

    settings: Settings
    channel: Channel
    supervisor: Supervisor
    meter: Meter
    model_id: str
    demo: bool
    words: Mapping[str, Any] | None = None  # those that a small model knows; None: no limit
    tokens: Tokens = field(default_factory=Tokens.for_this_run)
    slots: ConnectionSlots = field(default_factory=ConnectionSlots)
    awake: Callable[[], float] = time.monotonic  # stands still while the process is stopped
    stopping: bool = False
    repertoire: Repertoire = field(init=False)  # looks and setlist
    desk: Desk = field(init=False)  # what controllers set
    # Takes an OSC datagram of the control socket; gives one sentence if it is refused.
    datagram: Callable[[bytes], str | None] = lambda data: "This server takes no OSC messages."

    recorder: Recorder | None = None
    broadcaster: Broadcaster | None = None
    clip: Clip | None = None
    sources: Sources | None = None  # of input pictures

    def __post_init__(self) -> None:
        self.repertoire = Repertoire(self.settings, self.channel)
        self.desk = Desk(
            self.channel, self.repertoire, self.supervisor.check, lambda: self.recorder
        )

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
