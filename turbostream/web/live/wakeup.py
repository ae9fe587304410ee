"""Wakes greenlets when another thread has published something.

`threading.Condition` would block gevent's whole loop. Does not read frames.
"""

from __future__ import annotations

from gevent.event import Event
from gevent.hub import get_hub

from turbostream.stream.frame import Frame


class Wakeup:
    """A condition that any number of greenlets wait for. Made in the gevent thread."""

    def __init__(self) -> None:
        self.count = 0  # how often it was sent
        self._event = Event()
        self._async = get_hub().loop.async_()
        self._async.start(self.send_here)

    def send(self, frame: Frame | None = None) -> None:
        """Wake all who wait; from any thread. A buffer that it listens to passes its frame."""
        self._async.send()

    def send_here(self) -> None:
        """Wake all who wait; from the gevent thread."""
        self.count += 1
        sent, self._event = self._event, Event()
        sent.set()

    def wait(self, timeout_s: float) -> None:
        self._event.wait(timeout_s)

    def close(self) -> None:
        self._async.close()
