"""The multipart/x-mixed-replace wire format.

    --b CRLF                                        once, at the start
    headers CRLF CRLF <jpeg> CRLF --b CRLF          a part; the next boundary follows the picture

Never put a prompt into part headers: browsers find the boundary anywhere in the bytes. The boundary
is a long random token for the same reason.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from turbostream.stream.frame import Frame

BOUNDARY = "frame-" + secrets.token_hex(24)
CONTENT_TYPE = f"multipart/x-mixed-replace;boundary={BOUNDARY}"
OPENING = f"--{BOUNDARY}\r\n".encode()
_CLOSING = f"\r\n--{BOUNDARY}\r\n".encode()
PREFIX = b"Content-Type: image/jpeg\r\nContent-Length: "  # how every part begins


@dataclass(frozen=True)
class Image:
    """What a part carries; number 0 is a placeholder, which no engine painted."""

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
