"""The process that encodes and sends a broadcast: `python -m turbostream.sinks.push_process`.

A process of its own because PyAV holds the interpreter's lock while a connection is opened: a
server that accepts and stays silent would stop all threads of the program. An alarm ends this
process when one step takes too long, and the end of its input when the program has ended.

Input: one line of JSON (`Order`), then for each picture HEAD and the JPEG. Output: lines of JSON,
a `Report` each. The address is in the input, so that its key is in no command line.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections import deque
from errno import EIO
from typing import BinaryIO, TypedDict

from turbostream.sinks.srt_socket import SrtError
from turbostream.stream import push_address

HEAD = struct.Struct("<dI")  # time on the monotonic clock, which all processes share; bytes
TIMEOUT_S = 10.0  # of connecting, and of each picture
FINISH_S = 2.0
NICENESS = 10  # the engine comes first
REPORT_S = 1.0
MOST_WAITING = 4  # pictures; the oldest is left out when another comes
CLOSED = (BrokenPipeError, ConnectionResetError, ConnectionAbortedError, EOFError)


class Order(TypedDict):
    """rate: pictures a second; bit_rate: bit/s."""

    url: str
    rate: float
    bit_rate: int


class Report(TypedDict, total=False):
    """frames, bytes, dropped: so far. failed: host (unknown), refused, closed (by the server),
    size (changed), system or program, and `detail` in words, without the address."""

    connected: bool
    frames: int
    bytes: int
    dropped: int
    failed: str
    detail: str


class Inlet:
    """The pictures that come, read by a thread of its own."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._changed = threading.Condition()
        self._waiting: deque[tuple[float, bytes]] = deque()
        self.dropped = 0
        self.ended = False
        threading.Thread(target=self._read, name="inlet", daemon=True).start()

    def _read(self) -> None:
        while len(head := self._file.read(HEAD.size)) == HEAD.size:
            stamp, size = HEAD.unpack(head)
            jpeg = self._file.read(size)
            with self._changed:
                if len(self._waiting) == MOST_WAITING:
                    self._waiting.popleft()
                    self.dropped += 1
                self._waiting.append((stamp, jpeg))
                self._changed.notify()
        with self._changed:
            self.ended = True
            self._changed.notify()

    def next(self, timeout_s: float | None) -> tuple[float, bytes] | None:
        """The oldest picture that waits; None after `timeout_s` without one, or at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self.ended, timeout_s)
            return self._waiting.popleft() if self._waiting and not self.ended else None


class Pace:
    """When a picture is sent: at most `rate` a second, and the last one again when none comes."""

    def __init__(self, rate: float, now: float) -> None:
        self._period = 1 / rate
        self._due = self._last = now

    def patience_s(self, now: float) -> float:
        """Seconds until the last picture has to be repeated."""
        return max(0.0, self._last + 1.5 * self._period - now)

    def admits(self, stamp: float) -> bool:
        if stamp < self._due - self._period / 2:
            return False
        self._due = max(self._due, stamp - self._period / 2) + self._period
        self._last = max(self._last, stamp)
        return True

    def repeat(self, now: float) -> None:
        self._last = now - self._period / 2  # more repeats follow at the full rate


def push(order: Order, inlet: Inlet) -> None:
    """Send until the input ends. Raises PictureError and OSError."""
    from turbostream.sinks.encoder import size_of
    from turbostream.sinks.push_video import PushVideo

    if (first := inlet.next(None)) is None:
        return
    began, jpeg = first
    signal.setitimer(signal.ITIMER_REAL, TIMEOUT_S)
    address, rate = push_address.parse(order["url"]), order["rate"]
    if address.kind != "hls":
        socket.getaddrinfo(address.host, None)  # FFmpeg has no error for an unknown host
    video = PushVideo(address, size_of(jpeg), rate, order["bit_rate"])
    sent = video.add(jpeg, 0.0)
    report({"connected": True})
    inlet.dropped = 0  # those from before the connection are not part of the broadcast
    frames, reported, pace = 1, 0.0, Pace(rate, began)
    while not inlet.ended:
        found = inlet.next(pace.patience_s(time.monotonic()))
        now = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, TIMEOUT_S)
        if found is None:
            stamp = now
            pace.repeat(now)
        elif pace.admits(found[0]):
            stamp, jpeg = found
        else:
            inlet.dropped += 1
            continue
        sent += video.add(jpeg, stamp - began)
        frames += 1
        if now - reported >= REPORT_S:
            reported = now
            report({"frames": frames, "bytes": sent, "dropped": inlet.dropped})
    signal.setitimer(signal.ITIMER_REAL, FINISH_S)
    video.finish()


def report(line: Report) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def failure(error: Exception, is_rtmp: bool) -> Report:
    """Without the text of the error, which may contain the address."""
    from turbostream.sinks.encoder import PictureError

    if isinstance(error, PictureError):
        return {"failed": "size", "detail": str(error)}
    if isinstance(error, socket.gaierror):
        return {"failed": "host"}
    if isinstance(error, ConnectionRefusedError):
        return {"failed": "refused"}
    # FFmpeg's RTMP has no error but EIO for a server that answers no.
    if isinstance(error, CLOSED) or (is_rtmp and isinstance(error, OSError) and error.errno == EIO):
        return {"failed": "closed"}
    if isinstance(error, SrtError):
        return {"failed": "system", "detail": str(error)}
    if isinstance(error, TimeoutError):
        return {"failed": "timeout"}
    if isinstance(error, OSError):
        return {"failed": "system", "detail": os.strerror(error.errno or 0)}
    where = "".join(traceback.format_tb(error.__traceback__))
    return {"failed": "program", "detail": f"{type(error).__name__}\n{where}"}


def main() -> int:
    order: Order = json.loads(sys.stdin.buffer.readline())
    os.nice(NICENESS)
    try:
        push(order, Inlet(sys.stdin.buffer))
    except Exception as error:  # the other process reports it
        report(failure(error, order["url"].startswith("rtmp")))
    sys.stdout.flush()
    os._exit(0)  # without waiting for the connection, which the muxer would close again


if __name__ == "__main__":
    sys.exit(main())
