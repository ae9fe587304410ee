"""The multipart/x-mixed-replace wire format.

    --b CRLF                                        once, at the start
    headers CRLF CRLF <jpeg> CRLF --b CRLF          a part; the next boundary follows the picture

Never put a prompt into part headers: browsers find the boundary anywhere in the bytes. The boundary
is a long random token for the same reason.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from turbostream.stream import recipe
from turbostream.stream.frame import Frame
from turbostream.web.live.padding import Padding

BOUNDARY = "frame-" + secrets.token_hex(24)
CONTENT_TYPE = f"multipart/x-mixed-replace;boundary={BOUNDARY}"
OPENING = f"--{BOUNDARY}\r\n".encode()
_CLOSING = f"\r\n--{BOUNDARY}\r\n".encode()
MOST_KEPT = 64  # parts; more than two for each channel
PREFIX = b"Content-Type: image/jpeg\r\nContent-Length: "  # how every part begins


@dataclass(frozen=True)
class Image:
    """What a part carries; number 0 is a placeholder, which no engine painted.

    revision: of the channel, so that a page notices what others have changed.
    """

    number: int
    jpeg: bytes
    timestamp: float  # unix seconds
    revision: int = 0


def part(image: Image) -> bytes:
    """One part with the boundary that ends it."""
    head = (
        f"{len(image.jpeg)}\r\n"
        f"X-Timestamp: {image.timestamp:.6f}\r\n"
        f"X-Frame-Id: {image.number}\r\n"
        f"X-Revision: {image.revision}\r\n\r\n"
    )
    return PREFIX + head.encode() + image.jpeg + _CLOSING


def jpeg_of(frame: Frame, with_recipe: bool) -> bytes:
    """The frame's JPEG, with or without its recipe."""
    if not with_recipe:
        return frame.jpeg
    comment = recipe.segment(frame.shot, frame.fingerprint)
    # Viewers know the boundary, and whoever writes the prompt could put it into the recipe.
    return frame.jpeg if BOUNDARY.encode() in comment else recipe.inserted(frame.jpeg, comment)


class PartCache:
    """The part of each channel's newest frame, with and without its recipe and padding. Each is
    built when a viewer first needs it, shared by all, and built again only when the revision
    changes."""

    def __init__(self) -> None:
        # by the channel's name, and whether it holds the recipe and the padding
        self._parts: dict[tuple[str, bool, bool], tuple[Frame, int, bytes]] = {}
        self._padding: dict[str, Padding] = {}  # by the channel's name

    def __call__(
        self, frame: Frame, revision: int = 0, with_recipe: bool = False, padded: bool = False
    ) -> bytes:
        key = frame.channel, with_recipe, padded
        cached = self._parts.get(key)
        if cached is None or frame != cached[0] or revision != cached[1]:
            jpeg = jpeg_of(frame, with_recipe)
            if padded:
                padding = self._padding.setdefault(frame.channel, Padding())
                jpeg = padding.padded(jpeg, frame.published)
            built = part(Image(frame.number, jpeg, frame.published, revision))
            cached = self._parts[key] = frame, revision, built
            if len(self._parts) > MOST_KEPT:  # of channels that were removed
                del self._parts[next(iter(self._parts))]
        return cached[2]
