"""How connections share gevent's loop: whoever has used its slice waits, and requests together
leave time for the pictures.

gevent switches only where a read or a write would block, so a client that always has more to read
would keep the loop. Here a connection's processor time is counted (this thread's, so waiting for
the GIL costs nobody anything); after a slice it gives way. Requests together take at most
`WATCHED_SHARE` of the time while somebody watches. Past that they queue: whoever used little
first, and of those this machine's own before others; whoever used much last.

The gevent thread only.
"""

from __future__ import annotations

import heapq
import time
from itertools import count

import gevent
from gevent.event import Event

SLICE_S = 0.001  # processor time after which a connection gives way
BURST_S = 0.02  # that much is free at once, for one connection and for all
OWN_SHARE = 0.1  # of the time: what one connection may use without waiting behind others
WATCHED_SHARE = 0.5  # of the time, for all requests together; the rest is for the pictures
HEAVY_SHARE = 0.25  # of the time, for those together that used more than their own share
SHARE = 0.95  # both while nobody watches
LOOK_EVERY_S = 0.005  # newcomers are seen that soon while others wait
LONGEST_CHARGE_S = 0.05  # a view that waits (for a picture) is not charged for what others did


class Turn:
    """One connection's use of the loop."""

    def __init__(self, near: bool) -> None:
        self.near = near
        self.waiting: Event | None = None
        self.since = time.thread_time()  # what was used before is accounted for
        self.used = Debt(OWN_SHARE)

    def resume(self) -> None:
        """After a wait: what others used meanwhile does not count."""
        self.since = time.thread_time()


class Debt:
    """Time that was used, less `share` of the time that has passed."""

    def __init__(self, share: float) -> None:
        self.share = share
        self._owed_s, self._at = 0.0, time.monotonic()

    def add(self, used_s: float) -> None:
        now = time.monotonic()
        self._owed_s = max(0.0, self._owed_s - (now - self._at) * self.share) + used_s
        self._at = now

    @property
    def owed_s(self) -> float:
        self.add(0.0)
        return self._owed_s


class Turns:
    """The queue of all connections of a server."""

    def __init__(self) -> None:
        self._streams = 0
        self._all, self._heavies = Debt(SHARE), Debt(SHARE)
        self._queue: list[tuple[bool, bool, int, int, Turn]] = []
        self._numbers = count()
        self._usher: object = None

    def stream(self, change: int) -> None:
        """One stream more (1) or less (-1)."""
        self._streams += change
        for debt, share in ((self._all, WATCHED_SHARE), (self._heavies, HEAVY_SHARE)):
            debt.add(0.0)
            debt.share = share if self._streams else SHARE

    def charge(self, turn: Turn) -> None:
        """Account for what the connection used since it last waited."""
        now = time.thread_time()
        used_s = min(now - turn.since, LONGEST_CHARGE_S)
        turn.since = now
        turn.used.add(used_s)
        self._all.add(used_s)
        if self.heavy(turn):
            self._heavies.add(used_s)

    def heavy(self, turn: Turn) -> bool:
        """True for a connection that has to wait behind the others."""
        return turn.used.owed_s > BURST_S

    def breathe(self, turn: Turn) -> None:
        """Within a request, where a connection could go on at once: give way after a slice."""
        if time.thread_time() - turn.since >= SLICE_S:
            self.take(turn)

    def take(self, turn: Turn) -> None:
        """Before a request: let others go first; returns when it is this connection's turn."""
        self.charge(turn)
        used_s = turn.used.owed_s
        heavy = used_s > BURST_S
        if not heavy and self._all.owed_s <= BURST_S:
            gevent.sleep(0)
        else:
            turn.waiting = Event()
            # The heavy among themselves in the order in which they came: all of them go on.
            rank = (True, False, 0) if heavy else (False, not turn.near, int(used_s * 1000))
            heapq.heappush(self._queue, (*rank, next(self._numbers), turn))
            if self._usher is None:
                self._usher = gevent.spawn(self._call)
            turn.waiting.wait()
            turn.waiting = None
        turn.resume()

    def _call(self) -> None:
        """Calls whoever waits, one at a time, as fast as their share allows."""
        while self._queue:
            debts = (self._all, self._heavies) if self._queue[0][0] else (self._all,)
            wait_s = max((debt.owed_s - BURST_S) / debt.share for debt in debts)
            if wait_s > 0:
                gevent.sleep(min(LOOK_EVERY_S, max(0.001, wait_s)))
                continue
            turn = heapq.heappop(self._queue)[-1]
            if turn.waiting is not None:
                turn.waiting.set()
                gevent.sleep(0)  # it works now, and what it uses counts before the next is called
        self._usher = None
