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
from turbostream.stream.meter import Meter
from turbostream.stream.supervisor import Supervisor
from turbostream.web.http.places import Places
from turbostream.web.tokens import Tokens


@dataclass
class AppContext:
    """All that the web needs to know of the rest of the program."""

    settings: Settings
    channel: Channel
    supervisor: Supervisor
    meter: Meter
    model_id: str
    demo: bool
    words: Mapping[str, Any] | None = None  # what a small model knows; None: everything
    tokens: Tokens = field(default_factory=Tokens.for_this_run)
    places: Places = field(default_factory=Places)
    awake: Callable[[], float] = time.monotonic  # stands still while the process is stopped
    stopping: bool = False

    def is_stopping(self) -> bool:
        return self.stopping


def load_words(folder: Path | None) -> Mapping[str, Any] | None:
    """What a model knows, if its folder says so in words.json; no words and no answer else."""
    file = None if folder is None else folder / "words.json"
    if file is None or not file.is_file():
        return None
    words: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return words
