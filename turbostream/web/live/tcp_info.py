"""What the kernel knows of a TCP connection: Linux's `struct tcp_info`, of which Python has only
the option's name. Elsewhere nothing is known, and only the socket's buffers bound a viewer."""

from __future__ import annotations

import socket
import struct
import sys
from dataclasses import dataclass
from typing import Any

# include/uapi/linux/tcp.h; fields are only ever added at the end.
_BYTES_ACKED, _MIN_RTT, _SND_WND = (struct.Struct("=Q"), 120), (struct.Struct("=I"), 148), 228
_WINDOW = struct.Struct("=I")
_SIZE = _SND_WND + _WINDOW.size
_OLD_SIZE = _MIN_RTT[1] + 4  # from Linux 4.9 on it is at least this long
_NO_RTT = 0xFFFFFFFF  # no round trip was measured yet


@dataclass(frozen=True)
class TcpInfo:
    """What the kernel knows of a connection (tcp_info(7)).

    acked: bytes that the other side has acknowledged.
    window: bytes that it can take; None where the kernel does not say (before 5.4).
    rtt_s: the shortest round trip seen.
    """

    acked: int
    window: int | None
    rtt_s: float


def read_tcp_info(connection: Any) -> TcpInfo | None:
    """What the kernel knows of a socket; None where it does not say."""
    if sys.platform != "linux":
        return None
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)
    except OSError:  # not TCP, or no longer open: the next send fails
        return None
    if len(info) < _OLD_SIZE:
        return None
    (acked,) = _BYTES_ACKED[0].unpack_from(info, _BYTES_ACKED[1])
    (rtt_us,) = _MIN_RTT[0].unpack_from(info, _MIN_RTT[1])
    window = _WINDOW.unpack_from(info, _SND_WND)[0] if len(info) >= _SIZE else None
    return TcpInfo(acked, window, 0.0 if rtt_us == _NO_RTT else rtt_us / 1e6)


def unacknowledged_bytes(connection: Any) -> int:
    """Bytes that the kernel holds until the other side acknowledges them (SIOCOUTQ)."""
    import fcntl
    import termios

    answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    return int(struct.unpack("=i", answer)[0])
