"""Who may hold a connection, and who has to give one up when all are taken.

What waits longest is worth least: the oldest unfinished request goes first, then the connection
that has waited longest for its next one, then one whose client takes no answer. Some places are
kept for this machine's own clients, and one address elsewhere may hold only so many.

127.0.0.1 and ::1 are *near*: the tunnel's end and a proxy connect from there, with everybody
behind them, so nothing is counted by address. Every other address counts, an IPv6 /64 as one.

The gevent thread only.
"""

from __future__ import annotations

import ipaddress
import time
from collections import Counter
from typing import Protocol

from turbostream.web.http.limits import Limits

UNFINISHED, IDLE, STUCK = "unfinished", "idle", "stuck"  # in the order in which they are given up
WAITING = (UNFINISHED, IDLE, STUCK)
GRACE_S = 0.05  # a newcomer has that long to send its request before it may be told to leave


class Holder(Protocol):
    """A connection, as far as places go."""

    near: bool
    network: str

    def drop(self) -> None: ...


class Places:
    """The open connections, and those among them that wait for their client."""

    def __init__(self) -> None:
        self.open = 0
        self.refused = 0
        self._by_network: Counter[str] = Counter()
        self._leaving: set[Holder] = set()  # told to, still counted as open
        self._waiting: dict[tuple[str, bool], dict[Holder, float]] = {
            (kind, near): {} for kind in WAITING for near in (False, True)
        }

    def crowded(self, limits: Limits) -> bool:
        """True while a newcomer could only take the place of one that has just come."""
        if self.open - len(self._leaving) < limits.max_connections - limits.reserved:
            return False
        unfinished = (self._waiting[UNFINISHED, near] for near in (False, True))
        oldest = min((next(iter(one.values())) for one in unfinished if one), default=0.0)
        return time.monotonic() - oldest < GRACE_S

    def enter(self, holder: Holder, limits: Limits) -> str | None:
        """Take a place; a sentence that says why where no place is free."""
        if not holder.near and self._by_network[holder.network] >= (
            most := limits.max_connections_per_address
        ):
            self.refused += 1
            return (
                f"Your address holds {most} connections, which is the most; close some, or raise "
                "MAX_CONNECTIONS_PER_ADDRESS."
            )
        places = limits.max_connections - (0 if holder.near else limits.reserved)
        if self.open - len(self._leaving) >= places:
            self._make_room(also_near=holder.near)
        if self.open - len(self._leaving) >= places:
            self.refused += 1
            return (
                "All connections are taken; close some, try again soon, or raise MAX_CONNECTIONS."
            )
        self.open += 1
        self._by_network[holder.network] += 1
        return None

    def leave(self, holder: Holder) -> None:
        self.open -= 1
        self._by_network[holder.network] -= 1
        if not self._by_network[holder.network]:
            del self._by_network[holder.network]
        self.is_busy(holder)
        self._leaving.discard(holder)

    def waits(self, holder: Holder, kind: str) -> None:
        """The connection waits for its client, for this kind of thing since the first such call."""
        waiting = self._waiting[kind, holder.near]
        if holder not in waiting and holder not in self._leaving:
            self.is_busy(holder)
            waiting[holder] = time.monotonic()

    def is_busy(self, holder: Holder) -> None:
        """It waits for its client no longer."""
        for kind in WAITING:
            self._waiting[kind, holder.near].pop(holder, None)

    def drop_all(self) -> None:
        """Whoever has not asked for anything, or not to the end, has to leave."""
        while self._make_room(also_near=True, kinds=(UNFINISHED, IDLE)):
            pass

    def _make_room(self, also_near: bool, kinds: tuple[str, ...] = WAITING) -> bool:
        for kind in kinds:
            for near in (False, True) if also_near else (False,):
                for holder in self._waiting[kind, near]:
                    self.is_busy(holder)
                    self._leaving.add(holder)
                    holder.drop()
                    return True
        return False


def near(address: str) -> bool:
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
