"""OSC datagrams, as python-osc's builders make them, and malformed ones."""

from __future__ import annotations

import socket
import struct

from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder


def message(address: str, *arguments: tuple[str, object]) -> bytes:
    """arguments: (type, value)."""
    builder = OscMessageBuilder(address)
    for kind, value in arguments:
        builder.add_arg(value, kind)
    return builder.build().dgram


def bundle(*elements: bytes, at: float = IMMEDIATELY) -> bytes:
    """at: seconds since 1970."""
    head = OscBundleBuilder(at).build().dgram
    return head + b"".join(struct.pack(">i", len(element)) + element for element in elements)


def send(port: int, *datagrams: bytes, family: int = socket.AF_INET) -> None:
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        for datagram in datagrams:
            sender.sendto(datagram, (host, port))
