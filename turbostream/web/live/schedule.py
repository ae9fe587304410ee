"""Which part one viewer gets next, and when. Knows no socket; its clock is the source's.

Chrome paints a frame only when the complete headers of the next part have arrived, Firefox at
the trailing boundary. So a browser gets a frame twice whenever the next one is more than
REPEAT_AFTER_S away. Every other client (curl, OpenCV, ffmpeg, mpv) counts the parts that arrive:
it gets each frame once. All get the newest again every KEEPALIVE_S while nothing new comes, which
keeps proxies open and finds dead sockets.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from turbostream.stream.frame import Frame
from turbostream.web.live.multipart import OPENING, PartCache

REPEAT_AFTER_S = 0.05
KEEPALIVE_S = 1.0


def repeat_after_s(browser: bool, script: bool) -> float:
    """Seconds until a frame is sent for the second time.

    Only a browser that shows the stream itself needs that. A script reads the parts' bytes, and
    paints each picture when it is complete.
    """
    return REPEAT_AFTER_S if browser and not script else KEEPALIVE_S


class Source(Protocol):
    """What a schedule needs to know of its viewer."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    @property
    def with_recipe(self) -> bool:
        """Whether the viewer's pictures carry their recipe."""
        ...

    @property
    def padded(self) -> bool:
        """Whether pictures must not become much smaller at once; see padding.py."""
        ...

    def revision(self) -> int:
        """The channel's revision now."""
        ...

    def newest(self) -> Frame | None:
        """The newest finished frame, whichever scene it shows."""
        ...

    def placeholder(self) -> bytes | None:
        """A part that says why there is no frame, or None while frames are expected."""
        ...

    def wait(self, timeout_s: float) -> None:
        """Until something may have changed, at most so long."""
        ...

    def has_room(self) -> bool:
        """False while the viewer is too many frames behind what was sent."""
        ...

    def sent(self, number: int) -> None: ...

    def open(self) -> bool:
        """False once this stream should end."""
        ...


class Schedule:
    """One viewer's parts, in rising order; asked whenever something may have changed.

    `due` is when to ask again if no new frame comes before. Frames up to number `newer_than` are
    not sent: they show a scene from before this viewer came.
    """

    __slots__ = (
        "due",
        "_source",
        "_cache",
        "_interval_s",
        "_repeat_s",
        "_part",
        "_is_frame",
        "_number",
        "_repeat_at",
        "_planned_at",
    )

    def __init__(
        self,
        source: Source,
        cache: PartCache,
        min_interval_s: float = 0.0,
        repeat_after_s: float = REPEAT_AFTER_S,
        newer_than: int = 0,
    ) -> None:
        self.due = 0.0
        self._source, self._cache = source, cache
        self._interval_s = min_interval_s
        self._repeat_s = repeat_after_s
        self._part = b""
        self._is_frame = False  # whether the last part sent was a frame
        self._number = newer_than
        self._repeat_at = 0.0
        self._planned_at = -1e9  # when the newest frame was due; ?fps= counts from it

    def next(self, now: float, frame: Frame | None) -> bytes | None:
        """The part to send at `now` (monotonic s), with `frame` the newest; None for nothing."""
        if frame is not None and frame.number > self._number:
            planned = self._planned_at + self._interval_s
            if now < planned:
                self.due = planned
                # A new frame follows, so only a browser needs the same part again.
                return self._repeat(now) if self._repeat_s < KEEPALIVE_S else None
            if not self._source.has_room():
                self.due = now + KEEPALIVE_S  # an acknowledgement wakes the sender before
                return None
            # Keep the rate of ?fps=: from the planned time, unless that is long past.
            self._planned_at = planned if now - planned < self._interval_s else now
            self._number = frame.number
            self._source.sent(frame.number)
            self._is_frame = True
            return self._send(self._part_of(frame), now, self._repeat_s)
        placeholder = self._source.placeholder()
        if placeholder is not None and placeholder != self._part:
            self._is_frame = False
            return self._send(placeholder, now, self._repeat_s)
        self.due = now + KEEPALIVE_S
        is_shown = self._is_frame and frame is not None and frame.number == self._number
        return self._repeat(now, frame if is_shown else None)

    def _part_of(self, frame: Frame) -> bytes:
        source = self._source
        return self._cache(frame, source.revision(), source.with_recipe, source.padded)

    def _send(self, part: bytes, now: float, repeat_after_s: float) -> bytes:
        self._part = part
        self._repeat_at = now + repeat_after_s
        self.due = self._repeat_at
        return part

    def _repeat(self, now: float, newest: Frame | None = None) -> bytes | None:
        """The same part again, if that is due: soon after it was new, then once a second.

        newest: the frame in the part, if it is still the newest; the part is then built again with
        the current revision.
        """
        if not self._part:
            return None
        if now >= self._repeat_at and self._source.has_room():
            self._repeat_at = now + KEEPALIVE_S
            self.due = min(self.due, self._repeat_at)
            if newest is not None:
                self._part = self._part_of(newest)
            return self._part
        self.due = min(self.due, max(self._repeat_at, now + 0.001))
        return None


def parts(
    source: Source,
    cache: PartCache,
    min_interval_s: float = 0.0,
    repeat_after_s: float = REPEAT_AFTER_S,
    newer_than: int = 0,
) -> Iterator[bytes]:
    """The bytes of one viewer's stream, newest frame only, in rising order."""
    yield OPENING
    schedule = Schedule(source, cache, min_interval_s, repeat_after_s, newer_than)
    while source.open():
        now = source.now()
        part = schedule.next(now, source.newest())
        if part is not None:
            yield part
        else:
            source.wait(max(0.001, schedule.due - now))
