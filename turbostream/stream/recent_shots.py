"""The shots of a channel's last frames by number, so that a picture can be painted again later.

The generation thread adds them, as a listener of the frame buffer; any thread reads. Holds no
pictures: at a few hundred bytes per shot, MOST of them take a few megabytes.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from turbostream.stream.frame import Frame
from turbostream.stream.shot import Shot

MOST = 4096


@dataclass(frozen=True)
class PaintedShot:
    """A frame without its picture; fingerprint: of the engine that painted it."""

    number: int
    shot: Shot
    fingerprint: str


class RecentShots:
    """The last `most` frames of one channel."""

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._shots: dict[int, PaintedShot] = {}  # the oldest first: a buffer's numbers rise

    def __len__(self) -> int:
        with self._lock:
            return len(self._shots)

    def add(self, frame: Frame) -> None:
        """Keep the shot of `frame`, and drop the oldest if there are too many."""
        painted = PaintedShot(frame.number, frame.shot, frame.fingerprint)
        with self._lock:
            self._shots[frame.number] = painted
            if len(self._shots) > self.most:
                del self._shots[next(iter(self._shots))]

    def find(self, number: int) -> PaintedShot | None:
        """None if frame `number` was not painted, or `most` frames have been published since."""
        with self._lock:
            return self._shots.get(number)
