"""What a path hides of a plain viewer's backlog: through `ssh -L` it is megabytes.

sshd takes bytes as soon as they arrive, until the tunnel's buffers are full, and then in bursts, as
fast as the other end reads. Only these bursts show the viewer's rate. With the bytes that were sent
while nothing seemed to wait, they give what must be in the path: `sent - rate * time`. Parts are
held back until that has been read, and sent below the rate from then on. After AGAIN times as long
the viewer gets parts freely again: it may have become faster.

Pure: the caller passes the time.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise

STALL_S = 0.12  # a part is unread for so long: the path is full
BURST_BYTES, BURST_PARTS = 64_000, 1.5  # a tunnel takes more at once than a viewer reads at a time
SPAN_S = 1.5  # the rate is measured over at least so long, and from stall to stall
STALLS, MOST_STALLS = 3, 12
LONGEST_FILL_S = 30.0  # a viewer that was fast for longer has become slow: nothing is hidden
MOST_BYTES = 16e6
WORTH_S = 1.0  # a shorter queue is ignored
HELD, BELOW = 0.2, 0.9  # of the rate: while the queue is read, and after that
AGAIN = 30.0


class HiddenQueue:
    """One viewer's. Times in monotonic seconds, positions in bytes sent."""

    def __init__(self) -> None:
        self.rate = 0.0  # bytes/s that the viewer reads; 0: no limit is known
        self.held_until = 0.0
        self.until = 0.0
        self._free: tuple[float, int] | None = None
        self._fill: tuple[float, int] | None = None  # (seconds, bytes) until the path was full
        self._stalls: deque[tuple[float, int]] = deque(maxlen=MOST_STALLS)

    def freed(self, now: float, position: int) -> None:
        """Parts go out freely from now on."""
        if self._fill is None:
            self._free = now, position

    def filled(self, now: float, position: int) -> None:
        """Too much stays unread."""
        if self._free is not None and now - self._free[0] < LONGEST_FILL_S:
            self._fill = now - self._free[0], position - self._free[1]
            self._stalls.clear()
        self._free = None

    def resumed(self, now: float, position: int, part: int) -> None:
        """A part was read after it had waited for STALL_S."""
        self._stalls.append((now, position))
        (then, since), count = self._stalls[0], len(self._stalls)
        if self._fill is None or count < STALLS or now - then < SPAN_S:
            return
        positions = [position for _, position in self._stalls]
        steps = sorted(later - earlier for earlier, later in pairwise(positions))
        if steps[-2] < max(BURST_BYTES, BURST_PARTS * part):
            if count == MOST_STALLS:
                self._fill = None  # one part at a time: it reads directly, and nothing is hidden
            return
        rate = (position - since) / (now - then)
        queue = min(MOST_BYTES, self._fill[1] - rate * self._fill[0])
        if queue > rate * WORTH_S:
            self.rate, self.held_until = rate, now + queue / rate
            self.until = self.held_until + AGAIN * queue / rate
        self._fill = None

    def wait_s(self, now: float, size: int) -> float:
        """How long to wait after a part of `size` bytes before the next."""
        if now >= self.until:
            return 0.0
        return size / (self.rate * (HELD if now < self.held_until else BELOW))
