"""Decodes OSC datagrams into values of parameters: the address is "/" and the parameter's name.

python-osc decodes time tags and arguments. Its OscBundle and OscMessage are not used, since anybody
on the network may send datagrams (1.10.2): a bundle with a negative element size is read forever,
nested bundles end in RecursionError, invalid UTF-8 in UnicodeDecodeError, and every unknown type
writes to the log. Pure, any thread.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from pythonosc.parsing import osc_types

from turbostream.stream.parameters import PARAMETERS

BUNDLE = b"#bundle\0"
MOST_DEPTH = 8  # of bundles in bundles
FUTURE_S = 1.0  # how far ahead a time tag may be: clocks differ
MOST_ADDRESS_BYTES = 64
MOST_TEXT_BYTES = 4000  # 1,000 characters
PATTERN = b"*?[]{}"
TYPES = "i, h, f, d, s, T, F or N"

# type -> (bytes, what reads it)
NUMBERS: dict[str, tuple[int, Callable[[bytes, int], tuple[Any, int]]]] = {
    "i": (4, osc_types.get_int),
    "h": (8, osc_types.get_int64),
    "f": (4, osc_types.get_float),
    "d": (8, osc_types.get_double),
}
CONSTANTS = {"T": True, "F": False, "N": None}
ADDRESSES = {row.address.encode(): name for name, row in PARAMETERS.items()}


class OscError(ValueError):
    """One sentence about a datagram or a message that is refused; address: printable."""

    def __init__(self, address: bytes, sentence: str) -> None:
        super().__init__(sentence)
        text = address.decode("latin-1").encode("unicode_escape").decode()
        self.address = text[:MOST_ADDRESS_BYTES] or "(empty)"

    def __str__(self) -> str:
        return f"{self.address}: {self.args[0]}"


def messages(datagram: bytes, now: float) -> list[bytes]:
    """The messages of `datagram` in their order, without the bundles around them. now: seconds
    since 1970. Raises OscError if a bundle is malformed, or meant for later."""
    found: list[bytes] = []
    waiting = [(datagram, 0)]
    while waiting:
        packet, depth = waiting.pop()
        if not packet.startswith(BUNDLE):
            found.append(packet)
        elif depth == MOST_DEPTH:
            raise OscError(BUNDLE[:-1], f"there are more than {MOST_DEPTH} bundles in each other.")
        else:
            waiting += [(element, depth + 1) for element in reversed(_elements(packet, now))]
    return found


def _elements(bundle: bytes, now: float) -> list[bytes]:
    start = len(BUNDLE)
    if len(bundle) < start + 8:
        raise OscError(BUNDLE[:-1], "the bundle is cut short.")
    at, start = osc_types.get_date(bundle, start)
    if at > now + FUTURE_S:
        raise OscError(
            BUNDLE[:-1],
            f"the bundle is meant for {at - now:.1f} s later; bundles are applied at once: send it "
            "when it is due, and check that both clocks are right.",
        )
    found = []
    while start < len(bundle):
        size = int.from_bytes(bundle[start : start + 4], "big", signed=True)
        start += 4
        if size < 4 or size % 4 or start + size > len(bundle):
            raise OscError(BUNDLE[:-1], "the bundle holds an element of a wrong size.")
        found.append(bundle[start : start + size])
        start += size
    return found


def address_of(message: bytes) -> bytes:
    """The address of a message; raises OscError if no parameter has it."""
    end = message.find(b"\0", 0, MOST_ADDRESS_BYTES)
    address = message[:end] if end > 0 else message[:MOST_ADDRESS_BYTES]
    if address in ADDRESSES:
        return address
    if not address.startswith(b"/"):
        raise OscError(address, "this is not an OSC message; an address begins with a slash.")
    if any(byte in PATTERN for byte in address):
        raise OscError(address, "patterns are not supported; send one message for each address.")
    raise OscError(address, "no parameter has this address; GET /osc lists all of them.")


def decode(message: bytes) -> tuple[str, object]:
    """(name, value) of one message; the value is not checked. Raises OscError."""
    address = address_of(message)
    name = ADDRESSES[address]
    start = _after(address)
    end = message.find(b"\0", start)
    tags = message[start:end] if end >= start else message[start:]
    if tags and not tags.startswith(b","):
        raise OscError(address, "the types of the arguments are missing, such as ,f.")
    if len(tags) > 2:
        raise OscError(address, f"{len(tags) - 1} arguments were sent; send one.")
    if len(tags) < 2:
        if PARAMETERS[name].kind != "trigger":
            raise OscError(address, "an argument is missing.")
        return name, True
    return name, _argument(address, message, tags[1:].decode("ascii", "replace"), start + 4)


def _argument(address: bytes, message: bytes, kind: str, start: int) -> object:
    if kind in CONSTANTS:
        return CONSTANTS[kind]
    if kind == "s":
        return _text(address, message, start)
    if kind not in NUMBERS:
        raise OscError(address, f"the type {kind!a} is not supported; send {TYPES}.")
    size, read = NUMBERS[kind]
    if len(message) < start + size:
        raise OscError(address, "the message is cut short.")
    value = read(message, start)[0]
    return _shortest(value, message[start : start + 4]) if kind == "f" else value


def _text(address: bytes, message: bytes, start: int) -> str:
    end = message.find(b"\0", start)
    if end < 0:
        raise OscError(address, "the message is cut short.")
    if end - start > MOST_TEXT_BYTES:
        raise OscError(address, f"the text has {end - start:,} bytes; send at most 4,000.")
    try:
        text, _ = osc_types.get_string(message, start)
    except UnicodeDecodeError:
        raise OscError(address, "the text is not UTF-8.") from None
    except osc_types.ParseError:
        raise OscError(address, "the message is cut short.") from None
    return text


def _shortest(value: float, packed: bytes) -> float:
    """The float with the fewest digits that is packed like this: 0.3, not 0.30000001192092896."""
    for digits in (6, 7, 8):
        shorter = float(f"{value:.{digits}g}")
        if struct.pack(">f", shorter) == packed:
            return shorter
    return value


def _after(text: bytes) -> int:
    """Where the field after an OSC string begins."""
    return len(text) // 4 * 4 + 4
