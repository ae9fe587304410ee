"""A finished picture with its provenance, and the buffer that holds the newest one.

One writer, the generation thread, and readers on any thread. A reader gets the newest frame and
never slows the writer. Knows no engine and no viewer.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from turbostream.stream.shot import Shot


@dataclass(frozen=True)
class Frame:
    """A JPEG with its number, recipe and timings; immutable.

    number: rises by at least one from frame to frame of a channel, from 1.
    published: unix seconds, when it entered the buffer.
    stage_ms: milliseconds of each stage (text, denoise, decode, jpeg, ...).
    fingerprint: of the engine that painted it; with the shot it gives the same picture again.
    channel: the name of the channel, since each counts its own frames.
    taken: when its shot was taken, seconds on the channel's clock: the time that its scene was
        computed for. It never goes back, whatever happens to the system's clock.
    undimmed: the JPEG at full brightness, if `jpeg` is darker and the engine takes sources.
    """

    number: int
    jpeg: bytes
    shot: Shot
    published: float
    stage_ms: Mapping[str, float]
    fingerprint: str
    channel: str = "main"
    taken: float = 0.0
    undimmed: bytes = b""

    @property
    def source(self) -> bytes:
        """The JPEG that later frames start from: a stage that is dark keeps its picture."""
        return self.undimmed or self.jpeg


KEPT = 16  # frames, which later ones may start from; more than an engine has in flight


class FrameBuffer:
    """The newest frame, and the KEPT newest by number. Older numbers than the newest are refused,
    so that the stream never goes back in time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frame: Frame | None = None
        self._kept: deque[Frame] = deque(maxlen=KEPT)
        self._listeners: tuple[Callable[[Frame], object], ...] = ()

    def publish(self, frame: Frame) -> bool:
        """Make `frame` the newest and call the listeners; False if a newer one is there."""
        with self._lock:
            if self._frame is not None and frame.number <= self._frame.number:
                return False
            self._frame = frame
            self._kept.append(frame)
            listeners = self._listeners
        for listener in listeners:
            listener(frame)
        return True

    def newest(self) -> Frame | None:
        with self._lock:
            return self._frame

    def find(self, number: int) -> Frame | None:
        """None if frame `number` was not published, or KEPT others have been since."""
        with self._lock:
            return next((one for one in self._kept if one.number == number), None)

    def forget(self, listener: Callable[[Frame], object]) -> None:
        """Call `listener` no more."""
        with self._lock:
            self._listeners = tuple(one for one in self._listeners if one != listener)

    def listen(self, listener: Callable[[Frame], object]) -> None:
        """Call `listener` with each frame, on the writer's thread; it must return at once."""
        with self._lock:
            self._listeners += (listener,)
