"""How far an instance is: its direct port and Vast.ai's proxy, measured before one is taken.

The proxy was reported to add some 400 ms to every round trip, which is what a prompt waits for.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

TIMEOUT_S = 5.0
TRIES = 3


@dataclass(frozen=True)
class Way:
    """One address of the instance's ssh server."""

    kind: str  # direct or proxy
    host: str
    port: int
    greeting_s: float | None = None  # from dialling to the server's first words; None: none came

    def __str__(self) -> str:
        took = "no answer" if self.greeting_s is None else f"{self.greeting_s * 1000:.0f} ms"
        return f"{self.kind} {self.host}:{self.port} {took}"


def measured(way: Way) -> Way:
    """With the least of a few tries: what the line takes, not what else the machines do."""
    tries = [_greeting_s(way.host, way.port)]
    while tries[-1] is not None and len(tries) < TRIES:
        tries.append(_greeting_s(way.host, way.port))
    greeted = [took for took in tries if took is not None]
    return Way(way.kind, way.host, way.port, min(greeted, default=None))


def fastest_first(ways: list[Way]) -> list[Way]:
    """Measured; what did not answer comes last, since ssh may know a way (a jump host) to it."""
    unknown = TIMEOUT_S + 1
    return sorted(map(measured, ways), key=lambda way: way.greeting_s or unknown)


def _greeting_s(host: str, port: int) -> float | None:
    begun = time.monotonic()
    try:
        with socket.create_connection((host, port), TIMEOUT_S) as line:
            return time.monotonic() - begun if line.recv(4) == b"SSH-" else None
    except OSError:
        return None
