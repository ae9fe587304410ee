"""Which connections are kept open, and which are closed when all slots are taken.

A connection is worth less the longer it waits: the oldest unfinished request is closed first, then
the connection that has been idle longest, then one whose client takes no answer. Some slots are
reserved for local clients, and each other address may have only so many.

127.0.0.1 and ::1 are *local*: the tunnel's end and a proxy connect from there on behalf of all
their clients, so these addresses are not limited. Every other address is, an IPv6 /64 as one.

The gevent thread only.
"""

from __future__ import annotations

import ipaddress
import time
from collections import Counter
from typing import Protocol

from turbostream.web.http.limits import Limits

UNFINISHED, IDLE, STALLED = "unfinished", "idle", "stalled"
WAITING = (UNFINISHED, IDLE, STALLED)  # in the order in which they are closed
GRACE_S = 0.05  # a newcomer has that long to send its request before it may be closed


class Holder(Protocol):
    """A connection, as far as slots are concerned."""

    local: bool
    network: str

    def drop(self) -> None: ...


class ConnectionSlots:
    """The open connections, and those among them that wait for their client."""

    def __init__(self) -> None:
        self.open = 0
        self.refused = 0
        self._by_network: Counter[str] = Counter()
        self._leaving: set[Holder] = set()  # dropped, still counted as open
        self._waiting: dict[tuple[str, bool], dict[Holder, float]] = {
            (kind, local): {} for kind in WAITING for local in (False, True)
        }

    def crowded(self, limits: Limits) -> bool:
        """True while a newcomer could only replace one that has just arrived."""
        if self.open - len(self._leaving) < limits.max_connections - limits.reserved:
            return False
        unfinished = (self._waiting[UNFINISHED, local] for local in (False, True))
        oldest = min((next(iter(one.values())) for one in unfinished if one), default=0.0)
        return time.monotonic() - oldest < GRACE_S

    def acquire(self, holder: Holder, limits: Limits) -> str | None:
        """Take a slot; if none is free, one sentence that says why."""
        if not holder.local and self._by_network[holder.network] >= (
            most := limits.max_connections_per_address
        ):
            self.refused += 1
            return (
                f"Your address has {most} connections open, the maximum; close some, or raise "
                "MAX_CONNECTIONS_PER_ADDRESS."
            )
        available = limits.max_connections - (0 if holder.local else limits.reserved)
        if self.open - len(self._leaving) >= available:
            self._make_room(also_local=holder.local)
        if self.open - len(self._leaving) >= available:
            self.refused += 1
            return (
                "All connections are taken; close some, try again soon, or raise MAX_CONNECTIONS."
            )
        self.open += 1
        self._by_network[holder.network] += 1
        return None

    def release(self, holder: Holder) -> None:
        self.open -= 1
        self._by_network[holder.network] -= 1
        if not self._by_network[holder.network]:
            del self._by_network[holder.network]
        self.mark_busy(holder)
        self._leaving.discard(holder)

    def mark_waiting(self, holder: Holder, kind: str) -> None:
        """The connection waits for its client; the time counts from the first call of a kind."""
        waiting = self._waiting[kind, holder.local]
        if holder not in waiting and holder not in self._leaving:
            self.mark_busy(holder)
            waiting[holder] = time.monotonic()

    def mark_busy(self, holder: Holder) -> None:
        """It no longer waits for its client."""
        for kind in WAITING:
            self._waiting[kind, holder.local].pop(holder, None)

    def drop_waiting(self) -> None:
        """Close every connection without a complete request."""
        while self._make_room(also_local=True, kinds=(UNFINISHED, IDLE)):
            pass

    def _make_room(self, also_local: bool, kinds: tuple[str, ...] = WAITING) -> bool:
        for kind in kinds:
            for local in (False, True) if also_local else (False,):
                for holder in self._waiting[kind, local]:
                    self.mark_busy(holder)
                    self._leaving.add(holder)
                    holder.drop()
                    return True
        return False


def is_local(address: str) -> bool:
    return address in ("127.0.0.1", "::1", "::ffff:127.0.0.1")


def network_of(address: str) -> str:
    """What one client has to connect from: an IPv4 address, or an IPv6 /64."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
