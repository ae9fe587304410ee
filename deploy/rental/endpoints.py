"""The ssh endpoints of an instance, its direct port and Vast.ai's proxy, and the latency of each.

The proxy was reported to add some 400 ms to every round trip, and a prompt waits for one.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import Any

TIMEOUT_S = 5.0
TRIES = 3


@dataclass(frozen=True)
class Endpoint:
    """One address of the instance's ssh server."""

    kind: str  # direct or proxy
    host: str
    port: int
    greeting_s: float | None = None  # from connecting to the server's greeting; None: none came

    def __str__(self) -> str:
        took = "no answer" if self.greeting_s is None else f"{self.greeting_s * 1000:.0f} ms"
        return f"{self.kind} {self.host}:{self.port} {took}"


def endpoints_of(instance: dict[str, Any]) -> list[Endpoint]:
    """The direct port, then Vast.ai's proxy; never the host of one with the port of the other."""
    found = []
    mapped = (instance.get("ports") or {}).get("22/tcp") or []
    public = str(instance.get("public_ipaddr") or "").strip()
    if public and mapped:
        found.append(Endpoint("direct", public, int(mapped[0]["HostPort"])))
    if instance.get("ssh_host") and instance.get("ssh_port"):
        jupyter = "jupyter" in str(instance.get("image_runtype") or "")
        found.append(Endpoint("proxy", instance["ssh_host"], int(instance["ssh_port"]) + jupyter))
    return found


def public_page(instance: dict[str, Any], port: int = 8000) -> str | None:
    """The address of the stream for others, who also need a link with a token."""
    mapped = (instance.get("ports") or {}).get(f"{port}/tcp") or []
    public = str(instance.get("public_ipaddr") or "").strip()
    return f"http://{public}:{mapped[0]['HostPort']}/" if public and mapped else None


def measured(endpoint: Endpoint) -> Endpoint:
    """With the shortest of a few tries: the network's latency without the load of the machines."""
    tries = [_greeting_s(endpoint.host, endpoint.port)]
    while tries[-1] is not None and len(tries) < TRIES:
        tries.append(_greeting_s(endpoint.host, endpoint.port))
    greeted = [took for took in tries if took is not None]
    return Endpoint(endpoint.kind, endpoint.host, endpoint.port, min(greeted, default=None))


def fastest_first(endpoints: list[Endpoint]) -> list[Endpoint]:
    """Measured; one that did not answer comes last, as ssh may reach it through a jump host."""
    unknown = TIMEOUT_S + 1
    return sorted(map(measured, endpoints), key=lambda endpoint: endpoint.greeting_s or unknown)


def _greeting_s(host: str, port: int) -> float | None:
    begun = time.monotonic()
    try:
        with socket.create_connection((host, port), TIMEOUT_S) as line:
            return time.monotonic() - begun if line.recv(4) == b"SSH-" else None
    except OSError:
        return None
