"""Shares gevent's loop between connections: each gives way after a slice, and all requests together
leave time for the pictures.

gevent switches only where a read or a write would block, so a client that always has more to read
would keep the loop. Here each connection's processor time is counted (this thread's, so waiting for
the GIL is not charged); after a slice it gives way. While somebody watches, requests together get
at most `WATCHED_SHARE` of the time. Beyond that they queue: connections that used little first, and
of those this machine's own before others; connections that used much last.

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
OWN_SHARE = 0.1  # of the time: what one connection may use without queueing behind others
WATCHED_SHARE = 0.5  # of the time, for all requests together; the rest is for the pictures
HEAVY_SHARE = 0.25  # of the time, for the heavy connections together
SHARE = 0.95  # both while nobody watches
LOOK_EVERY_S = 0.005  # newcomers are noticed after at most this while others wait
LONGEST_CHARGE_S = 0.05  # a view that waits (for a picture) is not charged for others' work


class LeakyBucket:
    """Time that was used, less `share` of the time that has passed."""

    def __init__(self, share: float) -> None:
        self.share = share
        self._level_s, self._at = 0.0, time.monotonic()

    def add(self, used_s: float) -> None:
        now = time.monotonic()
        self._level_s = max(0.0, self._level_s - (now - self._at) * self.share) + used_s
        self._at = now

    @property
    def level_s(self) -> float:
        self.add(0.0)
        return self._level_s


class CpuUse:
    """One connection's use of the loop."""

    def __init__(self, local: bool) -> None:
        self.local = local
        self.queued: Event | None = None  # set when it is this connection's turn
        self.since = time.thread_time()  # what was used before is charged
        self.bucket = LeakyBucket(OWN_SHARE)

    def resume(self) -> None:
        """After a wait: do not charge what others used meanwhile."""
        self.since = time.thread_time()


class CpuShares:
    """The queue of all connections of a server."""

    def __init__(self) -> None:
        self._streams = 0
        self._all, self._heavy = LeakyBucket(SHARE), LeakyBucket(SHARE)
        self._queue: list[tuple[bool, bool, int, int, CpuUse]] = []
        self._numbers = count()
        self._loop: object = None

    def count_streams(self, change: int) -> None:
        """One stream more (1) or less (-1)."""
        self._streams += change
        for bucket, share in ((self._all, WATCHED_SHARE), (self._heavy, HEAVY_SHARE)):
            bucket.add(0.0)
            bucket.share = share if self._streams else SHARE

    def charge(self, use: CpuUse) -> None:
        """Charge what the connection used since it last waited."""
        now = time.thread_time()
        used_s = min(now - use.since, LONGEST_CHARGE_S)
        use.since = now
        use.bucket.add(used_s)
        self._all.add(used_s)
        if self.is_heavy(use):
            self._heavy.add(used_s)

    def is_heavy(self, use: CpuUse) -> bool:
        """True for a connection that has to queue behind the others."""
        return use.bucket.level_s > BURST_S

    def yield_if_due(self, use: CpuUse) -> None:
        """Within a request, where a connection could go on at once: give way after a slice."""
        if time.thread_time() - use.since >= SLICE_S:
            self.wait_for_turn(use)

    def wait_for_turn(self, use: CpuUse) -> None:
        """Before a request: let others go first; returns when it is this connection's turn."""
        self.charge(use)
        used_s = use.bucket.level_s
        heavy = used_s > BURST_S
        if not heavy and self._all.level_s <= BURST_S:
            gevent.sleep(0)
        else:
            use.queued = Event()
            # Heavy connections are served in order of arrival, so that each makes progress.
            rank = (True, False, 0) if heavy else (False, not use.local, int(used_s * 1000))
            heapq.heappush(self._queue, (*rank, next(self._numbers), use))
            if self._loop is None:
                self._loop = gevent.spawn(self._serve_queue)
            use.queued.wait()
            use.queued = None
        use.resume()

    def _serve_queue(self) -> None:
        """Let one connection at a time go on, as fast as their share allows."""
        while self._queue:
            buckets = (self._all, self._heavy) if self._queue[0][0] else (self._all,)
            wait_s = max((bucket.level_s - BURST_S) / bucket.share for bucket in buckets)
            if wait_s > 0:
                gevent.sleep(min(LOOK_EVERY_S, max(0.001, wait_s)))
                continue
            use = heapq.heappop(self._queue)[-1]
            if use.queued is not None:
                use.queued.set()
                gevent.sleep(0)  # it works now, and its use is charged before the next is served
        self._loop = None
