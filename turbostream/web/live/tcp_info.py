"""What the kernel says of a TCP connection: Linux's `struct tcp_info`, of which Python knows only
the name. Elsewhere the kernel says nothing, and a viewer is bounded by its socket's buffers."""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any

from turbostream.web.live.pace import Tcp

# include/uapi/linux/tcp.h; fields are only ever added at the end.
_BYTES_ACKED, _MIN_RTT, _SND_WND = (struct.Struct("=Q"), 120), (struct.Struct("=I"), 148), 228
_WINDOW = struct.Struct("=I")
_SIZE = _SND_WND + _WINDOW.size
_OLD = _MIN_RTT[1] + 4  # Linux 4.9 and later say as much
_NEVER = 0xFFFFFFFF  # no round trip was measured yet


def tcp_of(connection: Any) -> Tcp | None:
    """What the kernel says of a socket; None where it does not."""
    if sys.platform != "linux":
        return None
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SIZE)
    except OSError:  # not TCP, or not open any more: the next send says so
        return None
    if len(info) < _OLD:
        return None
    (acked,) = _BYTES_ACKED[0].unpack_from(info, _BYTES_ACKED[1])
    (rtt_us,) = _MIN_RTT[0].unpack_from(info, _MIN_RTT[1])
    window = _WINDOW.unpack_from(info, _SND_WND)[0] if len(info) >= _SIZE else None
    return Tcp(acked, window, 0.0 if rtt_us == _NEVER else rtt_us / 1e6)


def unacknowledged(connection: Any) -> int:
    """Bytes given to the kernel that the other side has not acknowledged (SIOCOUTQ)."""
    import fcntl
    import termios

    answer = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    return int(struct.unpack("=i", answer)[0])
