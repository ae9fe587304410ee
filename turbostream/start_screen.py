"""How an engine's start is shown at a terminal: a bar while it downloads, a line for the rest."""

from __future__ import annotations

import logging
import sys
import threading
from typing import TextIO

from turbostream.stream.engine_api import EngineUnavailable, EngineUnusable, OpenEngine
from turbostream.stream.state import Status

log = logging.getLogger("turbostream")

BAR_CELLS = 30


def bar(done: int, whole: int) -> str:
    cells = BAR_CELLS * done // max(1, whole)
    return f"[{'#' * cells}{'.' * (BAR_CELLS - cells)}]"


class StartScreen:
    """A `Report` for `screen`; where that is no terminal, a line for each tenth of a download.

    Called from the downloading threads, several at once.
    """

    def __init__(self, screen: TextIO, prefix: str) -> None:
        self._screen, self._prefix = screen, prefix
        self._tenth = -1
        self._lock = threading.Lock()

    def __call__(self, status: Status) -> None:
        done, whole = status.done_bytes, status.total_bytes
        text, end = status.message, "\n"
        with self._lock:
            if done is not None and whole:
                if self._screen.isatty():
                    # The cursor goes back to the bar's begin: whatever is said next covers it.
                    text, end = f"{bar(done, whole)} {text}", "\r"
                elif done * 10 // whole == self._tenth:
                    return
                self._tenth = done * 10 // whole
            clear = "\x1b[K" if self._screen.isatty() else ""
            self._screen.write(f"{clear}{self._prefix} {text}{end}")
            self._screen.flush()


def check(open_engine: OpenEngine) -> int:
    """Paint one frame, say so; what setup.sh runs at its end. The exit status: 0, 2 when the user
    has to change something, or 1 when a later attempt may work."""
    try:
        engine = open_engine(StartScreen(sys.stderr, "[init]"))
    except EngineUnusable as error:
        log.error("%s", error)
        return 2
    except EngineUnavailable as error:
        log.error("%s", error)
        return 1
    log.info("[check] painted one frame: %s", engine.fingerprint)
    engine.close()
    return 0
