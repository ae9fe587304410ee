"""The UDP port of OSC: opening it, and why that failed, in one sentence. Nothing is ever sent from
it: the sender's address of a datagram can be forged."""

from __future__ import annotations

import errno
import ipaddress
import socket

from turbostream.bind_errors import Sentences

DATAGRAM_BYTES = 65536
WHY_NOT_LISTENING = Sentences(
    host="OSC_HOST {host} is not an address of this machine; use 127.0.0.1 for the programs of "
    "this machine only, or 0.0.0.0 for everybody who can reach it.",
    port="This user may not receive OSC at {host}:{port}; give an OSC_PORT above 1023, or run as a "
    "user with the permission.",
    other="OSC cannot be received at {host}:{port} ({reason}); stop the program that does, or give "
    "another OSC_PORT.",
)
BUFFER_BYTES = 1024 * 1024  # in the kernel, which may allow less; 10,000 messages a second fit


def listen(host: str, port: int) -> socket.socket:
    """A UDP socket that does not block; raises OSError, UnicodeError or TypeError (a host name)."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
    )[0]
    found = socket.socket(family, kind, protocol)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        found.setblocking(False)
        found.bind(address)
    except OSError:
        found.close()
        raise
    return found


def is_taken(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno == errno.EADDRINUSE


def is_loopback(listening: socket.socket) -> bool:
    address = str(listening.getsockname()[0]).partition("%")[0]  # without the zone of IPv6
    return ipaddress.ip_address(address).is_loopback
