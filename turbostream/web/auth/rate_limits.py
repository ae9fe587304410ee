"""How often a visitor may do something, in a memory that does not grow.

Pure: the caller passes the time (monotonic seconds).
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

MOST_KEYS = 1024  # the one that was quiet longest is forgotten first
FREE_FAILURES = 5  # wrong tokens of one address before it has to wait
LONGEST_WAIT_S = 60.0
FORGOTTEN_AFTER_S = 600.0


class RateLimit:
    """At most `per_second` for each key, a second's worth at once (a token bucket)."""

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now: float) -> bool:
        """True, and one is taken, if `key` has one left."""
        left, at = self._left.pop(key, (self.per_second, now))
        left = min(self.per_second, left + (now - at) * self.per_second)
        allowed = left >= 1
        self._left[key] = (left - allowed, now)
        while len(self._left) > MOST_KEYS:
            self._left.popitem(last=False)
        return allowed

    def wait_s(self, key: str, now: float) -> float:
        """Seconds until `take` succeeds for `key`."""
        left, at = self._left.get(key, (self.per_second, now))
        return max(0.0, (1 - left) / self.per_second - (now - at))


class FailedLogins:
    """Wrong tokens by address: after a few, an address waits longer with each more."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def wait_s(self, address: str, now: float) -> float:
        """Seconds that `address` has to wait before its next token is checked."""
        count, at = self._failures.get(_network(address), (0, now))
        if count < FREE_FAILURES:
            return 0.0
        pause = min(LONGEST_WAIT_S, 2.0 ** (count - FREE_FAILURES))
        return max(0.0, at + pause - now)

    def add(self, address: str, now: float) -> int:
        """Count one more; how many there were lately."""
        key = _network(address)
        count, at = self._failures.pop(key, (0, now))
        count = min(100, count + 1 if now - at < FORGOTTEN_AFTER_S else 1)
        self._failures[key] = (count, now)
        while len(self._failures) > MOST_KEYS:
            self._failures.popitem(last=False)
        return count


def _network(address: str) -> str:
    """What one client has to ask from: an IPv4 address, or an IPv6 /64."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "?"
    if parsed.version == 6 and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
