"""One connected controller: a knob sends far more values than there are frames, so they are merged.

Knows no transport and no thread: whoever reads the messages calls `put`, and calls `flush` when it
is due, one thread at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from turbostream.stream.channel import Change
from turbostream.stream.desk import Desk
from turbostream.stream.parameters import check_value

INTERVAL_S = 1 / 120  # between two changes of one controller: no longer than a frame


class Controller:
    """Values of the parameter table on their way to the desk. Times are seconds on `clock`.

    A change after a pause is due at once, so that a single move does not wait. fade_s and easing
    stay in force for this controller's later changes.
    """

    def __init__(self, desk: Desk, clock: Callable[[], float] = time.monotonic) -> None:
        self._desk, self._clock = desk, clock
        self._waiting: dict[str, Any] = {}
        self._fade: dict[str, Any] = {}
        self._flushed_at = -INTERVAL_S

    def put(self, values: Mapping[str, object]) -> None:
        """Add `values`, name -> value; the newest value of a name replaces the one before. Raises
        SceneError for an invalid one, and then adds none."""
        checked = {name: check_value(name, value) for name, value in values.items()}
        for name in ("fade_s", "easing"):
            if name in checked:
                self._fade[name] = checked.pop(name)
        for name, value in checked.items():
            if value is False and self._waiting.get(name):
                continue  # a button that was released before its press was applied
            self._waiting.pop(name, None)  # to the end: the order of the last values
            self._waiting[name] = value

    def due_s(self) -> float | None:
        """Seconds until `flush` should be called, at least 0; None while nothing waits."""
        if not self._waiting:
            return None
        return max(0.0, self._flushed_at + INTERVAL_S - self._clock())

    def flush(self) -> Change | None:
        """Apply what waits; the change, or None if nothing waited. Raises SceneError if a value is
        refused, which is dropped, once the others are applied."""
        if not self._waiting:
            return None
        waiting, self._waiting = self._waiting, {}
        self._flushed_at = self._clock()
        return self._desk.apply_each(waiting, **self._fade)
