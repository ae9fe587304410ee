"""Keeps pictures from becoming much smaller at once, for viewers that acknowledge nothing.

Linux estimates how much of a receive buffer is overhead from the size of what arrives. After large
pictures, small ones make it offer a smaller window although everything is read, which `pace.py`
cannot tell from a viewer that does not read: a stream that was faded to black stood still for
seconds (docs/experiments/2026-11.md). So a small picture gets comment segments, which every decoder
skips, and the limit halves every HALF_S. Pure: the caller passes the time.
"""

from __future__ import annotations

from turbostream.stream import recipe

SHARE = 0.7  # of the largest picture
HALF_S = 30.0  # as slow as the window in pace.py forgets
LONGEST = 65_533  # bytes in one segment, without its marker and length


class Padding:
    """Of one channel's pictures."""

    def __init__(self) -> None:
        self._largest, self._at = 0.0, 0.0

    def padded(self, jpeg: bytes, now: float) -> bytes:
        """`jpeg`, not smaller than SHARE of the largest one before it. now: seconds."""
        passed_s = max(0.0, now - self._at)
        self._largest = max(len(jpeg), self._largest * 0.5 ** (passed_s / HALF_S))
        self._at = now
        return recipe.inserted(jpeg, filler(round(SHARE * self._largest) - len(jpeg)))


def filler(size: int) -> bytes:
    """Comment segments of about `size` bytes; nothing for less than a marker and a length."""
    segments = []
    while size >= 4:
        length = min(size - 4, LONGEST)
        segments.append(b"\xff\xfe" + (length + 2).to_bytes(2, "big") + bytes(length))
        size -= length + 4
    return b"".join(segments)
