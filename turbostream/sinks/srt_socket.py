"""An SRT caller in live mode over the system's libsrt, since PyAV's FFmpeg is built without it.

Blocking; for the process of `push_process.py`, whose alarm bounds every call. The constants are
those of srt.h 1.4 and later.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import sys
from urllib.parse import parse_qsl, urlsplit

PAYLOAD = 1316  # bytes of a message: seven packets of MPEG-TS
LIBRARIES = [f"libsrt-{tls}.so.1.{n}" for n in (5, 4) for tls in ("gnutls", "openssl")] + [
    "libsrt.dylib"
]
PACKAGE = "libsrt1.5-gnutls"  # of Debian and Ubuntu
OPTIONS = {"latency": 23, "passphrase": 26, "pbkeylen": 27, "streamid": 46}
WHOLE = {"latency", "pbkeylen"}
NO_SERVER, REJECTED = 1001, 1002  # of srt_getlasterror
INVALID = -1


class SrtError(OSError):
    """libsrt is missing or refuses an option of the address; one clause without its value."""


class SrtSocket:
    """A file to which a muxer writes MPEG-TS. url: srt://HOST:PORT?OPTIONS; latency is in
    milliseconds. Raises OSError."""

    def __init__(self, url: str) -> None:
        self._srt = _library()
        self._srt.srt_startup()
        parts = urlsplit(url)
        family, _, _, _, place = socket.getaddrinfo(
            parts.hostname, parts.port, type=socket.SOCK_DGRAM
        )[0]
        self._socket = self._srt.srt_create_socket()
        for name, value in parse_qsl(parts.query, keep_blank_values=True):
            if name not in ("mode", "transtype") or value not in ("caller", "live"):
                self._set(name, value)
        address = _sockaddr(family, place)
        if self._srt.srt_connect(self._socket, address, len(address)) == INVALID:
            code = self._srt.srt_getlasterror(None)
            raise {
                NO_SERVER: TimeoutError("no answer"),
                REJECTED: ConnectionAbortedError("rejected"),
            }.get(code, ConnectionRefusedError(f"SRT error {code}"))

    def write(self, data: bytes) -> int:
        """Called by the muxer."""
        for start in range(0, len(data), PAYLOAD):
            part = bytes(data[start : start + PAYLOAD])
            if self._srt.srt_sendmsg2(self._socket, part, len(part), None) == INVALID:
                raise ConnectionResetError("the connection was lost")
        return len(data)

    def close(self) -> None:
        self._srt.srt_close(self._socket)
        self._srt.srt_cleanup()

    def _set(self, name: str, value: str) -> None:
        raw = value.encode()
        if name in WHOLE and value.isdecimal():
            raw = struct.pack("=i", int(value) & 0x7FFFFFFF)
        number = OPTIONS.get(name, INVALID)
        if self._srt.srt_setsockflag(self._socket, number, raw, len(raw)) == INVALID:
            raise SrtError(
                f"libsrt refuses {name if name in OPTIONS else 'an option'} of the address"
            )


def _library() -> ctypes.CDLL:
    for name in LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise SrtError(f"libsrt is not installed: apt-get install {PACKAGE}")


def _sockaddr(family: int, place: tuple[object, ...]) -> bytes:
    """struct sockaddr_in or sockaddr_in6 of Linux, or of macOS with its length in front."""
    host, port = str(place[0]).partition("%")[0], int(str(place[1]))
    address = socket.inet_pton(family, host)
    if family == socket.AF_INET:
        rest, length = struct.pack("!H4s8x", port, address), 16
    else:
        scope = int(str(place[3]))
        rest, length = struct.pack("!HI16s", port, 0, address) + struct.pack("=I", scope), 28
    if sys.platform == "darwin":
        return struct.pack("=BB", length, family) + rest
    return struct.pack("=H", family) + rest
