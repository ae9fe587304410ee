"""Ports for servers of the tests that have to know theirs before they listen."""

from __future__ import annotations

import random
import socket
from pathlib import Path

_given: set[int] = set()


def free_port() -> int:
    """A port that nobody holds and that no other call has given out.

    It lies below the range from which the system takes a port for whoever asks for none: between
    this call and its use no connection of this machine can come by it.
    """
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    below = range(lowest // 2, lowest) if lowest > 10_000 else range(20_000, 60_000)
    for port in random.SystemRandom().sample(below, 1000):
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            return port
    raise AssertionError("there is no free port")
