"""Ends the process when a call into the engine does not come back.

Nothing inside a process can end such a call. So the stacks of all threads go to the log, and the
process ends with STATUS; whoever started it (systemd, the start script's loop) starts it again.
A thread of its own, and behind it faulthandler's, which needs no GIL: a call that never gives the
GIL back stops Python's threads too. That one can only end with status 1.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn, TextIO

log = logging.getLogger(__name__)

STATUS = 70  # EX_SOFTWARE of sysexits.h
LOOK_EVERY_S = 0.25
GRACE_S = 5.0  # how much later the second thread ends the process, if the first one cannot


class Watchdog:
    """Ends the process once `overdue` answers with a sentence. Stopped by `stop`."""

    def __init__(self, overdue: Callable[[float], str | None], longest_s: float) -> None:
        self._overdue = overdue
        self._longest_s = longest_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._stacks: TextIO | None = None

    def start(self) -> None:
        try:
            sys.stderr.fileno()
            self._stacks = sys.stderr
        except (OSError, AttributeError, ValueError):  # no real stderr: stacks have nowhere to go
            self._stacks = None
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(1.0)
        faulthandler.cancel_dump_traceback_later()

    def _run(self) -> None:
        armed_until = 0.0
        while not self._stopping.wait(LOOK_EVERY_S):
            now = time.monotonic()
            if now >= armed_until and self._longest_s and self._stacks is not None:
                armed_until = now + max(1.0, self._longest_s / 4)
                after_s = armed_until - now + self._longest_s + GRACE_S
                faulthandler.dump_traceback_later(after_s, exit=True, file=self._stacks)
            reason = self._overdue(now)
            if reason is not None and not self._stopping.is_set():
                self._end(reason)

    def _end(self, reason: str) -> NoReturn:
        log.critical(
            "[watchdog] %s Ending with status %d, to be started again; the stacks:", reason, STATUS
        )
        if self._stacks is not None:
            faulthandler.dump_traceback(file=self._stacks, all_threads=True)
        os._exit(STATUS)
