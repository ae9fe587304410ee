"""The multipart/x-mixed-replace wire format, and the order in which one viewer gets frames.

    --b CRLF                                        once, at the start
    headers CRLF CRLF <jpeg> CRLF --b CRLF          a part; the next boundary goes with the picture

Chrome paints a frame only when the complete headers of the next part have arrived, Firefox at
the trailing boundary. So a frame is sent twice whenever the next one is more than REPEAT_AFTER_S
away, and again every KEEPALIVE_S while nothing new comes, which also finds dead sockets.

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

REPEAT_AFTER_S = 0.05
KEEPALIVE_S = 1.0


@dataclass(frozen=True)
class Image:
    """What a part carries. number 0 is a placeholder: a picture that no engine painted."""

    number: int
    jpeg: bytes
    timestamp: float  # unix seconds


def part(image: Image) -> bytes:
    """One part with the boundary that ends it."""
    head = (
        f"Content-Type: image/jpeg\r\n"
        f"Content-Length: {len(image.jpeg)}\r\n"
        f"X-Timestamp: {image.timestamp:.6f}\r\n"
        f"X-Frame-Id: {image.number}\r\n\r\n"
    )
    return head.encode() + image.jpeg + _CLOSING


class PartCache:
    """The newest frame's part, built once and shared by all viewers."""

    def __init__(self) -> None:
        self._number = -1
        self._part = b""

    def __call__(self, frame: Frame) -> bytes:
        if frame.number != self._number:
            self._part = part(Image(frame.number, frame.jpeg, frame.published))
            self._number = frame.number
        return self._part


class Source(Protocol):
    """What a viewer's loop needs of the world; the server implements it with gevent."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def newest(self) -> Frame | None:
        """The newest frame that shows the scene in force."""
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


def parts(source: Source, cache: PartCache, min_interval_s: float = 0.0) -> Iterator[bytes]:
    """The bytes of one viewer's stream, newest frame only, in rising order."""
    yield OPENING
    last_part = b""
    last_number = 0
    last_sent = last_new = -1e9
    repeated = True
    while source.open():
        now = source.now()
        frame = source.newest()
        if frame is not None and frame.number > last_number:
            next_new = last_new + min_interval_s
            if now >= next_new and source.has_room():
                # Keep the beat of ?fps=: from the planned time, unless that is long past.
                last_new = next_new if now - next_new < min_interval_s else now
                last_part, last_number, last_sent, repeated = cache(frame), frame.number, now, False
                yield last_part
                source.sent(frame.number)
                continue
            wait_s = max(0.002, min(next_new - now, KEEPALIVE_S)) if now < next_new else KEEPALIVE_S
        else:
            wait_s = KEEPALIVE_S
            placeholder = source.placeholder()
            if placeholder is not None and placeholder != last_part:
                last_part, last_sent, repeated = placeholder, now, False
                yield placeholder
                continue
        due = last_sent + (KEEPALIVE_S if repeated else REPEAT_AFTER_S)
        if last_part and now >= due:
            if not source.has_room():
                due = now + KEEPALIVE_S
            else:
                last_sent, repeated = now, True
                yield last_part
                continue
        source.wait(max(0.001, min(wait_s, due - now if last_part else wait_s)))
