"""Shows an engine's start on the terminal: a bar during downloads, a line for everything else.

Called from the threads that report status. Must not know how an engine is opened.
"""

from __future__ import annotations

import logging
import sys
import threading
from typing import TextIO

from turbostream.stream.engine_api import EngineUnavailable, EngineUnusable, OpenEngine
from turbostream.stream.state import Status

log = logging.getLogger("turbostream")

BAR_CELLS = 30


def bar(done: int, total: int) -> str:
    cells = BAR_CELLS * done // max(1, total)
    return f"[{'#' * cells}{'.' * (BAR_CELLS - cells)}]"


class StartScreen:
    """A `Report` for `screen`; if that is not a terminal, one line per tenth of a download.

    Called concurrently from the download threads.
    """

    def __init__(self, screen: TextIO, prefix: str) -> None:
        self._screen, self._prefix = screen, prefix
        self._tenth = -1
        self._lock = threading.Lock()

    def __call__(self, status: Status) -> None:
        done, total = status.done_bytes, status.total_bytes
        text, end = status.message, "\n"
        with self._lock:
            if done is not None and total:
                if self._screen.isatty():
                    # Back to the start of the line, so that the next output overwrites the bar.
                    text, end = f"{bar(done, total)} {text}", "\r"
                elif done * 10 // total == self._tenth:
                    return
                self._tenth = done * 10 // total
            clear = "\x1b[K" if self._screen.isatty() else ""
            self._screen.write(f"{clear}{self._prefix} {text}{end}")
            self._screen.flush()


def check(open_engine: OpenEngine) -> int:
    """Render one frame and log it; setup.sh runs this at its end.

    Returns the exit status: 0, 2 if the user has to change something, or 1 if a later attempt may
    work.
    """
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
