"""Strict viewers in their own process: raw sockets, one epoll, every byte checked.

`python -m benchmarks.viewers PORT VIEWERS WARM_S SECONDS [PATH]` prints one JSON object: each
viewer's rate of distinct frames in the measured time, the ages of frames on arrival, and faults.
"""

from __future__ import annotations

import json
import re
import select
import socket
import sys
import time
from dataclasses import dataclass, field

HEAD = re.compile(
    rb"Content-Type: image/jpeg\r\nContent-Length: (\d+)\r\n"
    rb"X-Timestamp: (\d+\.\d+)\r\nX-Frame-Id: (\d+)\r\nX-Revision: \d+\r\n\r\n"
)
LONGEST_HEAD = 2048


class Torn(ValueError):
    """The bytes are not a well-formed stream."""


@dataclass
class StreamReader:
    """Parses the bytes of one response in pieces of any size, and collects `frames`."""

    frames: list[tuple[int, float, float]] = field(default_factory=list)  # number, stamp, arrival
    boundary: bytes = b""  # with its dashes and CRLF; empty: taken from the response's header
    _opened: bool = False
    _pending: bytes = b""
    _left: int = 0
    _tail: bytes = b""
    _number: int = -1
    _fresh: bool = False
    _stamp: float = 0.0
    _begun: bool = False

    def take(self, data: memoryview) -> None:
        place = 0
        while place < len(data):
            if self._left:
                step = min(self._left, len(data) - place)
                self._tail = (self._tail + bytes(data[place + max(0, step - 2) : place + step]))[
                    -2:
                ]
                if not self._begun and step >= 2:
                    if bytes(data[place : place + 2]) != b"\xff\xd8":
                        raise Torn("a picture does not begin like a JPEG")
                    self._begun = True
                place += step
                self._left -= step
                if not self._left:
                    self._finish()
                continue
            room = LONGEST_HEAD - len(self._pending)
            if room <= 0:
                raise Torn(f"a header does not end: {self._pending[:200]!r}")
            before = len(self._pending)
            self._pending += bytes(data[place : place + room])
            place += self._head(before)

    def _head(self, before: int) -> int:
        """Parse a header from the pending bytes; returns how many of the new bytes it used."""
        end = self._pending.find(b"\r\n\r\n")
        if end < 0:
            return len(self._pending) - before
        head, used = self._pending[: end + 4], end + 4 - before
        self._pending = b""
        if not self._opened:
            self._open(head)
            return used
        if not head.startswith(self.boundary):
            raise Torn(f"a boundary is missing: {head[:80]!r}")
        match = HEAD.fullmatch(head, len(self.boundary))
        if match is None:
            raise Torn(f"malformed part header: {head!r}")
        self._left, self._stamp = int(match[1]), float(match[2])
        number = int(match[3])
        if 0 < number < self._number:
            raise Torn(f"frame {number} after {self._number}")
        self._fresh = number > self._number  # 0 is a placeholder picture
        self._number = max(number, self._number)
        self._begun, self._tail = False, b""
        return used

    def _open(self, head: bytes) -> None:
        if b" 200 " not in head.split(b"\r\n", 1)[0] or b"chunked" in head.lower():
            raise Torn(head.decode("latin-1"))
        self._opened = True
        if self.boundary:
            return
        boundary = re.search(rb"boundary=\"?([^\r\n\";]+)", head)
        if boundary is None:
            raise Torn("no boundary")
        self.boundary = b"--" + boundary[1] + b"\r\n"

    def _finish(self) -> None:
        if self._tail != b"\xff\xd9":
            raise Torn("a picture does not end like a JPEG")
        if not self.boundary.startswith(b"\r\n"):
            self.boundary = b"\r\n" + self.boundary
        if self._fresh and self._number > 0:
            self.frames.append((self._number, self._stamp, time.time()))


def connect(port: int, path: str, version: str = "1.0") -> socket.socket:
    viewer = socket.create_connection(("127.0.0.1", port), timeout=30)
    viewer.sendall(f"GET {path} HTTP/{version}\r\nHost: localhost:{port}\r\n\r\n".encode())
    viewer.setblocking(False)
    return viewer


def watch(port: int, viewers: int, warm_s: float, seconds: float, path: str) -> dict[str, object]:
    poll = select.epoll()
    sockets: dict[int, tuple[socket.socket, StreamReader]] = {}
    for _ in range(viewers):
        viewer = connect(port, path)
        sockets[viewer.fileno()] = viewer, StreamReader()
        poll.register(viewer.fileno(), select.EPOLLIN)
    buffer = bytearray(1 << 18)
    view = memoryview(buffer)
    faults: list[str] = []
    begin = time.time() + warm_s
    end = begin + seconds
    while (now := time.time()) < end and sockets:
        for number, _ in poll.poll(min(0.1, max(0.0, end - now))):
            viewer, reader = sockets[number]
            try:
                count = viewer.recv_into(buffer)
                if not count:
                    raise Torn("the stream ended")
                reader.take(view[:count])
            except BlockingIOError:
                continue
            except (OSError, Torn) as error:
                faults.append(str(error))
                poll.unregister(number)
                viewer.close()
    ages, rates, produced = [], [], []
    for viewer, reader in sockets.values():
        viewer.close()
        counted = [frame for frame in reader.frames if begin <= frame[2] <= end]
        rates.append(len(counted) / seconds)
        ages += [round((arrival - stamp) * 1000, 2) for _, stamp, arrival in counted]
        if len(counted) > 1:
            first, last = counted[0], counted[-1]
            produced.append((last[0] - first[0]) / (last[1] - first[1]))
    ages.sort()
    return {
        "rates": rates,
        "ages_ms": ages[:: max(1, len(ages) // 20_000)] + ages[-1:],
        "produced": max(produced, default=0.0),
        "faults": faults,
    }


if __name__ == "__main__":
    port, viewers, warm_s, seconds = sys.argv[1:5]
    path = sys.argv[5] if len(sys.argv) > 5 else "/stream"
    json.dump(watch(int(port), int(viewers), float(warm_s), float(seconds), path), sys.stdout)
