"""The body of `GET /stream`, a WSGI body like any other.

Our own server finds `deliver` on it and gives it the socket; any other server iterates it, and
sends the same bytes. The gevent thread only.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from turbostream.web.live.schedule import Schedule, parts
from turbostream.web.live.sender import Sender
from turbostream.web.live.viewers import Viewer, Viewers

log = logging.getLogger(__name__)


class StreamBody:
    """One viewer's stream; the viewer is counted while somebody reads it."""

    def __init__(
        self,
        viewer: Viewer,
        viewers: Viewers,
        sender: Sender,
        min_interval_s: float,
        repeat_after_s: float,
    ) -> None:
        self._viewer, self._viewers, self._sender = viewer, viewers, sender
        self._interval_s, self._repeat_after_s = min_interval_s, repeat_after_s
        self._iteration = self._parts()

    @property
    def viewer_id(self) -> str:
        return self._viewer.id

    def __iter__(self) -> Iterator[bytes]:
        return self._iteration

    def close(self) -> None:
        """WSGI calls this when the viewer has left, or only asked for the head (HEAD)."""
        self._iteration.close()

    def deliver(self, connection: Any) -> None:
        """Send to a gevent socket until the viewer leaves or the program stops."""
        viewer, cache = self._viewer, self._sender.cache
        interval_s, repeat_s = self._interval_s, self._repeat_after_s
        schedule = Schedule(viewer, cache, interval_s, repeat_s, viewer.newer_than)
        with self._watching():
            self._sender.deliver(viewer, schedule, connection)

    def _parts(self) -> Generator[bytes, None, None]:
        viewer, cache = self._viewer, self._sender.cache
        interval_s, repeat_s = self._interval_s, self._repeat_after_s
        with self._watching():
            yield from parts(viewer, cache, interval_s, repeat_s, viewer.newer_than)

    @contextmanager
    def _watching(self) -> Iterator[None]:
        log.info("[stream] Client connected.")
        try:
            with self._viewers.enter(self._viewer):
                yield
        finally:
            log.info("[stream] Client disconnected.")
