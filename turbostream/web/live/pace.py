"""How far a viewer that acknowledges nothing is behind, and whether it may get another part.

curl, OpenCV, ffmpeg, mpv and a bare <img> do not report what they have shown, so only TCP says what
they have read. Two of its numbers count: the bytes acknowledged, and the window that the receiving
system offers, which is largest when its program has read everything. A limit in bytes would not
bound the age of a picture: the buffers of both systems hold 250 KB, which is 80 pictures of 3 KB,
or 40 s for a reader of two a second.

A viewer begins in step: a part is sent when the previous one has been read. The window comes with
an acknowledgement, which is usually sent before the program reads, so a byte of the next part's
head is sent ahead now and then (`PREFIX`) to get a new acknowledgement. A viewer that has read
QUICK parts in a row within QUICK_S each gets parts freely from then on, and is looked at every
LOOK_S. When more stays unread than the last part explains, it goes back to one part at a time.

Pure: it knows no socket, and the caller passes the time.
"""

from __future__ import annotations

from collections import deque
from math import inf

from turbostream.web.live.hidden_queue import STALL_S, HiddenQueue
from turbostream.web.live.multipart import PREFIX
from turbostream.web.live.tcp_info import TcpInfo

QUICK = 10
QUICK_S = 0.06  # more than an acknowledgement may be delayed, beyond the path's own time
LOOK_S = 0.2
LOOKS = 3  # so many looks in a row must find too much unread
QUEUE_S = 0.1  # what may wait for a narrow path, as the time that the path needs for it
FIRST_PROBE_S, PROBE_GROWTH = 0.01, 1.15
ASK_AFTER_S = 0.25  # a part sent freely and not known to be read is probed for after that
ROUNDING = 512  # bytes: an advertised window is that inexact, with the bytes sent ahead
WINDOW_KEPT_S = 15.0
LONGEST_PROBE_S = 1.0
LATE_S = 3.0  # no look for so long: this process was stopped, not the viewer
SILENCE_S, LONGEST_SILENCE_S = 1.0, 8.0
STALLS = 3.0


class Pace:
    """One viewer's. Times are monotonic seconds. `position` is the value of `TcpInfo.acked` once
    all that was sent so far is acknowledged."""

    def __init__(self, now: float, position: int) -> None:
        self.freely = False
        self.ahead = 0  # bytes of PREFIX sent ahead of their part
        self._position, self._acked = position, position
        self._part, self._sent_at = 0, now  # the last part: its size, and when it was sent
        self._pending = False  # not known to be read
        self._unread_parts = 0  # sent since all were known to be read
        self._read_s = 1.0  # from sending a part until it is read, on average
        self._hidden, self._not_before = HiddenQueue(), 0.0
        self._quick = 0  # parts in a row that were read at once
        self._next_look = now
        self._probe_s = FIRST_PROBE_S
        self._silence_s = SILENCE_S
        self._windows: deque[int] = deque([0], maxlen=4)  # the largest of each of some periods
        self._period_at = now
        self._behind: deque[int] = deque(maxlen=LOOKS)
        self._rate, self._looked_at = 0.0, now  # bytes/s acknowledged while some waited
        self._edge_then = position  # the edge when everything was last known to be read
        self._watched_at = now
        self._edge, self._moved_at = -1, now  # acknowledged plus window: reading moves it
        self._longest_stall_s = 0.0

    def part(self, now: float, size: int, taken: int) -> None:
        """A part begins: `size` bytes were still to be sent, and the kernel took `taken`."""
        self._position += taken
        if self._pending:
            self._silence_s = min(LONGEST_SILENCE_S, 2 * self._silence_s)
        else:
            self._moved_at = self._watched_at = now  # there was nothing to read before
        self._pending, self._part, self._sent_at, self.ahead = True, size, now, 0
        self._unread_parts += 1
        if not self.freely:
            self._probe_s = FIRST_PROBE_S
            self._next_look = now + FIRST_PROBE_S
        if taken < size and self.freely:
            self._go_in_step(now)
        if self._hidden.rate:
            wait_s = self._hidden.wait_s(now, size)
            self._not_before = max(self._not_before, now - wait_s) + wait_s  # keep the rate

    def sent(self, taken: int) -> None:
        """The kernel took so many more bytes of the part."""
        self._position += taken

    def went_ahead(self, taken: int) -> None:
        """The kernel took so many bytes of the next part's head."""
        self.ahead += taken
        self._position += taken

    def look(self, now: float, tcp: TcpInfo) -> None:
        """Take in what the kernel knows at `now`."""
        if now - self._watched_at > LATE_S:
            self._moved_at += now - self._watched_at
        self._watched_at = now
        passed = now - self._looked_at
        if passed > 0 and self._position > self._acked:
            rate = (tcp.acked - self._acked) / passed
            self._rate += min(1.0, passed) * (rate - self._rate) if self._rate else rate
        self._acked, self._looked_at = tcp.acked, now
        waiting = self._position - tcp.acked - self.ahead
        window = tcp.window or 0
        if self.freely and now - self._period_at > WINDOW_KEPT_S:
            self._windows.append(0)
            self._period_at = now
        self._windows[-1] = max(self._windows[-1], window)
        if self._pending and tcp.acked + window - self._edge_then > 2 * max(self._windows):
            # More was read since than a window holds: the largest window seen is out of date.
            self._windows = deque([window], maxlen=4)
        unread = max(self._windows) - window
        read = unread <= ROUNDING and waiting <= self._rate * (tcp.rtt_s + QUEUE_S)
        if read or tcp.acked + window > self._edge + ROUNDING:
            if self._edge >= 0 and self._pending:
                self._longest_stall_s = max(self._longest_stall_s, now - self._moved_at)
            self._edge, self._moved_at = max(self._edge, tcp.acked + window), now
        if self.freely:
            self._next_look = now + LOOK_S
            self._behind.append(0 if read else unread + waiting)
            if len(self._behind) == LOOKS and min(self._behind) > 1.5 * self._part + 8192:
                self._go_in_step(now)
        else:
            self._next_look = now + self._probe_s
            self._probe_s = min(LONGEST_PROBE_S, self._probe_s * PROBE_GROWTH)
            if read and self._pending:
                waited_s = now - self._sent_at
                self._read_s += 0.3 * (waited_s - self._read_s)
                if waited_s > STALL_S:
                    self._hidden.resumed(now, self._position, self._part)
                self._count(now, waited_s < tcp.rtt_s + QUICK_S)
        if read:
            if self._pending and not self.freely:
                self._windows.append(window)
            self._pending, self._silence_s, self._unread_parts = False, SILENCE_S, 0
            self._edge_then = tcp.acked + window

    def _count(self, now: float, quick: bool) -> None:
        self._quick = self._quick + 1 if quick else 0
        if self._quick >= QUICK:
            self.freely = True
            self._behind.clear()
            self._hidden.freed(now, self._position)

    def _go_in_step(self, now: float) -> None:
        """It is behind: send the next part when this one has been read."""
        self._hidden.filled(now, self._position)
        self._read_s = 1.0
        self.freely, self._quick, self._probe_s = False, 0, FIRST_PROBE_S

    def wants_look(self, now: float) -> bool:
        if self.freely and self._pending and now - self._sent_at > ASK_AFTER_S:
            self.freely, self._probe_s = False, FIRST_PROBE_S  # until that part is read
        return now >= self._next_look and (self.freely or self._pending)

    def probe(self) -> bytes:
        """What to send ahead after a look, for a new acknowledgement; b"" for nothing."""
        if self.freely or not self._pending:
            return b""
        return PREFIX[self.ahead : self.ahead + 1]

    def room(self, now: float) -> bool:
        """Whether a part may be sent. One is sent now and then to a silent viewer: its window may
        be out of date, and then this shows that it reads."""
        if now < self._not_before:
            return False
        if self.freely or not self._pending or now - self._sent_at >= self._silence_s:
            return True
        return (
            self._unread_parts + 1
        ) * self._read_s <= QUEUE_S  # as many as it reads within QUEUE_S

    @property
    def due(self) -> float:
        """When to look again, if nothing happens before."""
        if not self._pending:
            return inf
        if self.freely:
            return self._sent_at + ASK_AFTER_S
        return min(self._next_look, self._sent_at + self._silence_s)

    def dead(self, now: float, after_s: float) -> bool:
        """Whether it has read nothing for too long while there was something to read.

        A stopped program and a tunnel whose buffers are full look the same from here, so a viewer
        that has come back from a long silence may be silent for STALLS times as long.
        """
        silent_s = now - self._moved_at
        if silent_s <= after_s or not self._pending:
            return False
        return silent_s > STALLS * self._longest_stall_s
