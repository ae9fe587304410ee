"""Senders of pictures that have gone: their picture outlives them for a short time."""

from __future__ import annotations

import time

LEFT_S = 10.0  # a line that breaks, or a page that is reloaded, comes back within it


class GoneSenders:
    """Not thread-safe."""

    def __init__(self) -> None:
        self._left: dict[object, float] = {}  # when each of them left, monotonic s

    def __len__(self) -> int:
        return len(self._left)

    def add(self, sender: object) -> None:
        self._left[sender] = time.monotonic()

    def take_due(self) -> set[object]:
        """Those that left LEFT_S ago; they are known no longer."""
        latest = time.monotonic() - LEFT_S
        due = {sender for sender, at in self._left.items() if at <= latest}
        for sender in due:
            del self._left[sender]
        return due

    def due_s(self) -> float | None:
        """Seconds until the next of them is due; None if there is none."""
        if not self._left:
            return None
        return max(0.0, min(self._left.values()) + LEFT_S - time.monotonic())
