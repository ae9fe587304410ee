"""The pictures that one controller sends as binary messages, and how it learns to send the next.

The newest picture wins, and decoding takes place elsewhere. A picture is acknowledged once it has
been decoded, or dropped because a newer one came. A controller that keeps at most two pictures
unacknowledged thus sends no more than are decoded, and on a long line it needs more than two; the
pictures of one that does not wait are dropped and counted, at no cost but that of reading them.

One thread at a time, the gevent thread.
"""

from __future__ import annotations

import json
from collections import deque

from turbostream.stream.source_status import Sources

MOST_PICTURE_BYTES = 1_000_000  # of one message
LOOK_EVERY_S = 0.005  # whether a picture has been decoded
ORIGIN = "browser"


def is_picture(data: bytes | bytearray) -> bool:
    """Whether a binary message is a JPEG, PNG or WebP by its first bytes, rather than OSC, which
    begins with "/" or "#"."""
    return data.startswith((b"\xff\xd8", b"\x89PNG\r\n\x1a\n")) or (
        data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    )


class PictureMessages:
    """Of one controller."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._arrived = self._acknowledged = 0
        # For each unacknowledged picture, how many pictures will have been handled with it.
        self._in_flight: deque[int] = deque()

    def take(self, data: bytes) -> None:
        """Offer one picture."""
        self._arrived += 1
        self._sources.offer(data, ORIGIN, self)
        self._in_flight.append(self._sources.status()["received"])

    def leave(self) -> None:
        """The controller has gone, and its picture shall not outlive it for long."""
        if self._arrived:
            self._sources.leave(self)

    def due_s(self) -> float | None:
        """Seconds until `answer` should be called; None while nothing waits for it."""
        return LOOK_EVERY_S if self._acknowledged < self._arrived else None

    def answer(self) -> str | None:
        """The next acknowledgement as JSON, if there is one: how many of this controller's pictures
        were decoded, dropped or refused, and why the newest one was refused."""
        if self._acknowledged == self._arrived:
            return None
        status = self._sources.status()
        handled = status["used"] + status["dropped"] + status["refused"]
        while self._in_flight and self._in_flight[0] <= handled:
            self._in_flight.popleft()
        taken = self._arrived - len(self._in_flight)
        if taken == self._acknowledged:
            return None
        self._acknowledged = taken
        told = {"received": taken, **({"message": status["message"]} if status["message"] else {})}
        return json.dumps({"source": told})
