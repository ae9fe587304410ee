"""How the generation thread fares: its status, its failures in a row, and its call into the engine.

Written by the generation thread (the status of a download by the threads that download); read by
any thread. Each field is replaced as a whole, so there is no lock. Knows no channel.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

from turbostream.stream.state import State, Status

log = logging.getLogger(__name__)

FAILURES_BEFORE_REOPEN = 5


class Call(StrEnum):
    """What the engine was called for."""

    LOADING = "loading"
    PAINTING = "painting one frame"
    CLOSING = "closing"


class Health:
    """`awake` is the clock by which calls are overdue."""

    def __init__(self, awake: Callable[[], float]) -> None:
        self.status = Status(State.STARTING, "The program is starting.")
        self._awake = awake
        self._call: tuple[Call, float] | None = None  # what for, since when (awake s)
        self._failures_in_a_row = 0
        self._logged: set[str] = set()

    # -- the call into the engine --------------------------------------------------------------

    @contextmanager
    def calling(self, what: Call) -> Iterator[None]:
        """Around every call into the engine, for `overdue`."""
        self._call = what, self._awake()
        try:
            yield
        finally:
            self._call = None

    def report(self, status: Status) -> None:
        """The engine's start has come further: its time begins again."""
        self._call = Call.LOADING, self._awake()
        self.status = status

    def overdue(self, now: float, frame_s: float, loading_s: float) -> str | None:
        """One sentence if a call into the engine takes longer than it may (0: no limit)."""
        call = self._call
        if call is None:
            return None
        what, since = call
        longest_s = loading_s if what is Call.LOADING else frame_s
        if not longest_s or now - since <= longest_s:
            return None
        return f"The engine has been {what} for {now - since:.0f} s and has not returned."

    # -- failures ------------------------------------------------------------------------------

    @property
    def needs_new_engine(self) -> bool:
        return self._failures_in_a_row >= FAILURES_BEFORE_REOPEN

    def succeeded(self) -> None:
        """A frame was painted."""
        self._failures_in_a_row = 0
        if self.status.state is not State.STREAMING:
            self.status = Status(State.STREAMING, "Pictures are being painted.")

    def rest(self, message: str) -> None:
        """No frame is painted for now, and nothing is wrong."""
        if self.status.state is not State.RESTING or self.status.message != message:
            self.status = Status(State.RESTING, message)

    def frame_failed(self, error: Exception) -> None:
        """Logged once per kind; a failure of the stream once it needs a new engine."""
        sentence = self._note("A frame failed", error)
        if self.needs_new_engine:
            self.status = Status(State.FAILED, sentence)

    def engine_failed(self, what: str, error: Exception) -> None:
        """The engine could not be opened or closed, which `what` says."""
        self.status = Status(State.FAILED, self._note(what, error))

    def engine_unavailable(self, message: str, pause_s: float) -> None:
        """Nothing is wrong with the engine: what it needs is not there yet."""
        if message not in self._logged:
            self._logged.add(message)
            log.warning("[init] %s Trying again after %.0f s.", message, pause_s)
        self.status = Status(State.FAILED, f"{message} Trying again.")

    def forget_failures(self) -> None:
        """A new engine begins with none."""
        self._failures_in_a_row = 0

    def _note(self, what: str, error: Exception) -> str:
        self._failures_in_a_row += 1
        kind = type(error).__name__
        if kind not in self._logged:
            self._logged.add(kind)
            log.error("[gen] %s (%s: %s); trying again.", what, kind, error, exc_info=error)
        return f"{what} ({kind}: {error}); trying again."
