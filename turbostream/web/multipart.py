"""The multipart/x-mixed-replace wire format, and the order in which one viewer gets frames.

    --b CRLF                                        once, at the start
    headers CRLF CRLF <jpeg> CRLF --b CRLF          a part; the next boundary goes with the picture

Chrome paints a frame only when the complete headers of the next part have arrived, Firefox at
the trailing boundary. So a browser gets a frame twice whenever the next one is more than
REPEAT_AFTER_S away. Everyone else (curl, OpenCV, ffmpeg, mpv) counts what comes: there each frame
is sent once. Everyone gets the newest again every KEEPALIVE_S while nothing new comes, which keeps
proxies open and finds dead sockets.

Never put a prompt into part headers: browsers find the boundary anywhere in the bytes, and the
boundary is a long random token for the same reason.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from turbostream.stream.frame import Frame

BOUNDARY = "frame-" + secrets.token_hex(24)
CONTENT_TYPE = f"multipart/x-mixed-replace;boundary={BOUNDARY}"
OPENING = f"--{BOUNDARY}\r\n".encode()
_CLOSING = f"\r\n--{BOUNDARY}\r\n".encode()
PREFIX = b"Content-Type: image/jpeg\r\nContent-Length: "  # how every part begins

REPEAT_AFTER_S = 0.05
KEEPALIVE_S = 1.0


def repeat_after_s(user_agent: str, fetch_dest: str | None, script: bool) -> float:
    """Seconds until a frame is sent for the second time, by the headers of the request.

    Only a browser that shows the stream itself needs that: one that marks what it fetches
    (Sec-Fetch-Dest, on https and localhost), or calls itself Mozilla, as all do. A script reads the
    parts' bytes, and paints each when it is whole.
    """
    browser = fetch_dest is not None or user_agent.startswith("Mozilla/")
    return REPEAT_AFTER_S if browser and not script else KEEPALIVE_S


@dataclass(frozen=True)
class Image:
    """What a part carries. number 0 is a placeholder: a picture that no engine painted."""

    number: int
    jpeg: bytes
    timestamp: float  # unix seconds


def part(image: Image) -> bytes:
    """One part with the boundary that ends it."""
    head = (
        f"{len(image.jpeg)}\r\n"
        f"X-Timestamp: {image.timestamp:.6f}\r\n"
        f"X-Frame-Id: {image.number}\r\n\r\n"
    )
    return PREFIX + head.encode() + image.jpeg + _CLOSING


class PartCache:
    """The part of each channel's newest frame, built once and shared by all viewers."""

    def __init__(self) -> None:
        self._parts: dict[str, tuple[Frame, bytes]] = {}  # by the channel's name

    def __call__(self, frame: Frame) -> bytes:
        cached = self._parts.get(frame.channel)
        if cached is None or frame != cached[0]:
            cached = frame, part(Image(frame.number, frame.jpeg, frame.published))
            self._parts[frame.channel] = cached
        return cached[1]


class Source(Protocol):
    """What a viewer's feed needs of the world; the server implements it with gevent."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def newest(self) -> Frame | None:
        """The newest finished frame, whichever scene it shows."""
        ...

    def placeholder(self) -> bytes | None:
        """A part that says why no frame comes, or None while frames are on their way."""
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


class Feed:
    """Which part one viewer gets next, in rising order; asked whenever something may have changed.

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
        "_number",
        "_again_at",
        "_beat",
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
        self._number = newer_than
        self._again_at = 0.0
        self._beat = -1e9  # when the newest frame was due; ?fps= counts from it

    def next(self, now: float, frame: Frame | None) -> bytes | None:
        """The part to send at `now` (monotonic s), with `frame` the newest; None for nothing."""
        if frame is not None and frame.number > self._number:
            planned = self._beat + self._interval_s
            if now < planned:
                self.due = planned
                # Something new comes, so only a browser needs the same part again.
                return self._again(now) if self._repeat_s < KEEPALIVE_S else None
            if not self._source.has_room():
                self.due = now + KEEPALIVE_S  # its report will ring
                return None
            # Keep the beat of ?fps=: from the planned time, unless that is long past.
            self._beat = planned if now - planned < self._interval_s else now
            self._number = frame.number
            self._source.sent(frame.number)
            return self._send(self._cache(frame), now, self._repeat_s)
        placeholder = self._source.placeholder()
        if placeholder is not None and placeholder != self._part:
            return self._send(placeholder, now, self._repeat_s)
        self.due = now + KEEPALIVE_S
        return self._again(now)

    def _send(self, part: bytes, now: float, again_s: float) -> bytes:
        self._part = part
        self._again_at = now + again_s  # when the same is due once more
        self.due = self._again_at
        return part

    def _again(self, now: float) -> bytes | None:
        """The same part once more, if that is due: soon after it was new, then once a second."""
        if not self._part:
            return None
        if now >= self._again_at and self._source.has_room():
            self._again_at = now + KEEPALIVE_S
            self.due = min(self.due, self._again_at)
            return self._part
        self.due = min(self.due, max(self._again_at, now + 0.001))
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
    feed = Feed(source, cache, min_interval_s, repeat_after_s, newer_than)
    while source.open():
        now = source.now()
        part = feed.next(now, source.newest())
        if part is not None:
            yield part
        else:
            source.wait(max(0.001, feed.due - now))
