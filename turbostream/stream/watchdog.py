"""Ends the process when a call into the engine does not return.

Such a call cannot be ended from inside the process. So the stacks of all threads go to the log and
the process ends with STATUS; what started it (systemd, the start script's loop) starts it again.
Runs on a thread of its own. A call that never releases the GIL stops that thread as well: then the
fuse (fuse.py) ends the process without the GIL. Time is measured by the awake clock, which this
thread ticks, so that a process that was stopped and continued is not overdue. Knows no engine.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import NoReturn, TextIO

from turbostream.stream.awake import TICK_S, AwakeClock
from turbostream.stream.fuse import Fuse

log = logging.getLogger(__name__)

STATUS = 70  # EX_SOFTWARE of sysexits.h


class Watchdog:
    """Ends the process once `overdue`, called with the time of `awake`, returns a sentence.

    longest_s: the longest time that `overdue` allows; 0 for no limit.
    """

    def __init__(
        self, overdue: Callable[[float], str | None], longest_s: float, awake: AwakeClock
    ) -> None:
        self._overdue = overdue
        self._longest_s = longest_s
        self._awake = awake
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._stacks: TextIO | None = None
        self._fuse: Fuse | None = None

    def start(self) -> None:
        try:
            sys.stderr.fileno()
            self._stacks = sys.stderr
        except (OSError, AttributeError, ValueError):  # no real stderr to write stacks to
            self._stacks = None
        if self._longest_s and self._stacks is not None:
            self._fuse = Fuse(self._stacks)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(1.0)
        if self._fuse is not None:
            self._fuse.remove()

    def _run(self) -> None:
        self._awake.tick()
        while not self._stopping.wait(TICK_S):
            if self._fuse is not None:
                self._fuse.put_off(self._longest_s + TICK_S)
            self._awake.tick()
            reason = self._overdue(self._awake.now())
            if reason is not None and not self._stopping.is_set():
                self._end(reason)

    def _end(self, reason: str) -> NoReturn:
        log.critical(
            "[watchdog] %s Ending with status %d, to be started again; the stacks:", reason, STATUS
        )
        if self._stacks is not None:
            faulthandler.dump_traceback(file=self._stacks, all_threads=True)
        os._exit(STATUS)
