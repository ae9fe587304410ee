"""Who watches a channel: frames are wanted while at least one caller is inside `watched`.

Any thread. Knows no scene.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Demand:
    """The base class of a channel."""

    def __init__(self) -> None:
        self._demand_lock = threading.Lock()
        self._watchers = 0
        self._demand_listeners: tuple[Callable[[], object], ...] = ()

    @property
    def watchers(self) -> int:
        return self._watchers

    @property
    def wanted(self) -> bool:
        """Whether somebody watches. Without the lock: it is asked before every frame."""
        return self._watchers > 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Frames are wanted while at least one caller is inside."""
        with self._demand_lock:
            self._watchers += 1
            listeners = self._demand_listeners
        for listener in listeners:
            listener()
        try:
            yield
        finally:
            with self._demand_lock:
                self._watchers -= 1

    def listen_demand(self, listener: Callable[[], object]) -> None:
        """Call `listener` each time somebody begins to watch, on the thread of whoever does; it
        must return at once."""
        with self._demand_lock:
            self._demand_listeners += (listener,)
