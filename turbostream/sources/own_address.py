"""Whether an address is this very server: its own stream as its source would be a loop of pictures,
which `source: feedback` does better.

Looks up names, so not on gevent's loop. Another program that passes requests on to this server from
a port or a machine of its own is not recognised.
"""

from __future__ import annotations

import socket
from collections.abc import Collection
from urllib.parse import urlsplit

PORTS = {"http": 80, "https": 443, "rtsp": 554, "rtsps": 322}


class OwnAddress(OSError):
    """The address is this very server."""


def check(url: str, port: int, names: Collection[str]) -> None:
    """Raise OwnAddress if `url` is this server.

    port: that it listens on. names: `HOST:PORT` that others reach it by. Raises socket.gaierror for
    an unknown host.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    asked = parts.port or PORTS.get(parts.scheme, 0)
    if f"{host}:{asked}" in {name.lower() for name in names}:
        raise OwnAddress
    found = socket.getaddrinfo(host, asked, type=socket.SOCK_DGRAM)
    if asked == port and any(_is_of_this_machine(address) for address in found):
        raise OwnAddress


def _is_of_this_machine(found: tuple[object, ...]) -> bool:
    """Only an address of this machine can be bound."""
    family, kind, protocol, _, address = found
    assert isinstance(family, int)
    assert isinstance(kind, int)
    assert isinstance(protocol, int)
    assert isinstance(address, tuple)
    try:
        with socket.socket(family, kind, protocol) as probe:
            probe.bind((address[0], 0, *address[2:]))
    except OSError:
        return False
    return True
