"""How many frames may be in flight to a viewer that acknowledges them. Pure; knows no socket.

A viewer that acknowledges gets as many frames ahead as it shows in the time that its path needs
anyway, and in QUEUE_S more.
"""

from __future__ import annotations

from collections import deque

QUEUE_S = 0.25
RATE_OVER_S = 1.0
SMALLEST_WINDOW, LARGEST_WINDOW = 2, 120
LONGEST_PROBE_S = 8.0
PROBE_S = 1.0  # without an acknowledgement for so long, one more frame is sent: some get lost


class Window:
    """One viewer's. Times are monotonic seconds.

    A tunnel's buffers take megabytes at once, so only the viewer itself can say how far it is
    behind. The window is the rate at which it shows frames times the shortest time that a frame
    took, plus QUEUE_S: enough to keep a long path full, too little for a queue to grow on a narrow
    one. Without an acknowledgement for PROBE_S one more frame is sent, then after twice that, up to
    LONGEST_PROBE_S, so that a lost acknowledgement does not end the stream.
    """

    def __init__(self) -> None:
        self._in_flight: deque[tuple[int, float]] = deque()  # (number, when it was sent)
        self._acknowledged: deque[tuple[float, int]] = deque()  # (when, how many at once)
        self._shortest_s = float("inf")
        self._probe_s = PROBE_S
        self._quiet_since = 0.0
        self.size = SMALLEST_WINDOW

    def has_room(self, now: float) -> bool:
        if len(self._in_flight) < self.size:
            return True
        return now - self._quiet_since >= self._probe_s

    def sent(self, number: int, now: float) -> None:
        if len(self._in_flight) >= self.size:
            self._probe_s = min(LONGEST_PROBE_S, self._probe_s * 2)
            self._quiet_since = now
        elif not self._in_flight:
            self._quiet_since = now
        self._in_flight.append((number, now))

    def acknowledge(self, number: int, now: float) -> None:
        """Frame `number` is on the screen; those before it are no longer in flight either."""
        count, sent_at = 0, now
        while self._in_flight and self._in_flight[0][0] <= number:
            _, sent_at = self._in_flight.popleft()
            count += 1
        if not count:
            return
        self._quiet_since, self._probe_s = now, PROBE_S
        self._shortest_s = min(self._shortest_s, now - sent_at)
        self._acknowledged.append((now, count))
        while self._acknowledged[0][0] < now - RATE_OVER_S:
            self._acknowledged.popleft()
        since = now - self._acknowledged[0][0]
        if since > 0:
            shown = sum(count for _, count in self._acknowledged) - self._acknowledged[0][1]
            ahead = shown / since * (self._shortest_s + QUEUE_S)
            self.size = int(min(LARGEST_WINDOW, max(SMALLEST_WINDOW, ahead)))
