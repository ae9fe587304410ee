"""The process that reads SOURCE from a video or an address: `python -m
turbostream.sources.video_process`.

A process of its own because PyAV holds the interpreter's lock while an address is opened, and so
that what FFmpeg does with a damaged video stays here. An alarm ends this process when one step
takes too long, and the end of its input when the program has ended.

Input: one line of JSON (`Order`). Output: HEAD and its content, again and again.
"""

from __future__ import annotations

import http.client
import json
import os
import resource
import signal
import socket
import ssl
import struct
import sys
import threading
import time
import traceback
import urllib.error
from typing import Any, TypedDict
from urllib.parse import urlsplit

from turbostream.sources import http_reader, own_address, picture

HEAD = struct.Struct("<BHHI")  # kind, width, height, bytes of the content
REPORT, FILE, PIXELS = 0, 1, 2  # JSON; a picture's file; raw RGB
AGAIN_S = 5.0  # between two looks at an address that has one picture
LATE_S, HOPELESS_S = 0.1, 1.0  # of a picture that is left out, or at which the clock restarts
LEAST_SHOWN_S = 0.25  # a picture is sent that often, however late
MOST_MEMORY = 4 << 30  # bytes, of this process
# What FFmpeg may use by itself, for example because a playlist names it.
PROTOCOLS = "http,https,tls,tcp,crypto,rtp,rtsp,rtsps,udp"
NOT_TIMED = ("rtsp", "rtp", "sdp")  # formats whose pictures come when they are due


class Order(TypedDict):
    """place: a file, or an address. side: pixels, the most of what is sent. rate: pictures a
    second, the most that are sent. timeout_s: seconds, of opening, and of each picture. port,
    names: see `own_address.check`."""

    place: str
    is_url: bool
    side: int
    rate: float
    timeout_s: float
    port: int
    names: list[str]


class Report(TypedDict, total=False):
    """failed: why this was the end: own (address), wrong (address), host (unknown), refused,
    timeout, certificate, status (of HTTP), damaged, empty (no pictures), ended, system or program;
    `detail` in words, without the address."""

    opened: bool
    failed: str
    detail: str


class Empty(Exception):
    """A video without pictures."""


class Ended(Exception):
    """A stream has ended."""


class Alarm:
    """Ends this process after `timeout_s` seconds without a call of `set`."""

    def __init__(self) -> None:
        self.timeout_s = 10.0

    def set(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, self.timeout_s)

    def clear(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)


alarm = Alarm()


def send(kind: int, content: bytes, width: int = 0, height: int = 0) -> None:
    """The reader may take its time."""
    alarm.clear()
    sys.stdout.buffer.write(HEAD.pack(kind, width, height, len(content)))
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
    alarm.set()


def report(line: Report) -> None:
    send(REPORT, json.dumps(line).encode())


class Pace:
    """When the pictures of a video are due, by its own timestamps."""

    def __init__(self) -> None:
        self._began: float | None = None  # when the timestamp 0 was due, on the monotonic clock
        self._shown = 0.0
        self.last = 0.0  # when the newest picture was due

    def admits(self, stamp: float) -> bool:
        """Wait until the picture of `stamp` seconds is due; False if it is too late for it."""
        now = time.monotonic()
        if self._began is None or now - self._began - stamp > HOPELESS_S:
            self._began = now - stamp
        self.last = self._began + stamp
        left = self.last - now
        while left > 0:
            alarm.set()
            time.sleep(min(left, 0.5))
            left = self.last - time.monotonic()
        now = time.monotonic()
        if left < -LATE_S and now - self._shown < LEAST_SHOWN_S:
            return False
        self._shown = now
        return True


def play_file(order: Order) -> None:
    """Again and again. Raises Empty and what PyAV raises."""
    # With its protocol a file's name means nothing else.
    options = {"protocol_whitelist": "file,crypto"}
    while True:
        began = time.monotonic()
        if not play("file:" + order["place"], order, options):
            raise Empty
        alarm.clear()
        time.sleep(max(0.0, 1 / order["rate"] - (time.monotonic() - began)))  # of a single picture
        alarm.set()


def play_url(order: Order) -> None:
    """Until the stream ends. Raises Ended, Empty, OSError and what PyAV raises."""
    url = order["place"]

    def check(address: str) -> None:
        own_address.check(address, order["port"], order["names"])

    while urlsplit(url).scheme in http_reader.SCHEMES:
        with http_reader.open_url(url, check, order["timeout_s"]) as answer:
            border = http_reader.boundary(answer)
            if border is not None:
                report({"opened": True})
                for data in http_reader.parts(answer, border):
                    send(FILE, data)
                raise Ended
            if answer.headers.get_content_maintype() != "image":
                url = http_reader.final_url(url, answer)
                break
            data = answer.read(picture.MOST_BYTES + 1)
        report({"opened": True})
        send(FILE, data)
        alarm.clear()
        time.sleep(AGAIN_S)
        alarm.set()
    else:
        check(url)
    # Redirects have been followed; those of FFmpeg would not be checked.
    options = {"protocol_whitelist": PROTOCOLS, "max_redirects": "0", "rtsp_transport": "tcp"}
    if not play(url, order, options):
        raise Empty
    raise Ended


def play(place: str, order: Order, options: dict[str, str]) -> int:
    """Send the pictures of a video once; returns how many it has. Raises what PyAV raises."""
    import av

    pace, count, sent = Pace(), 0, 0.0
    with av.open(place, options=options, metadata_errors="replace") as container:
        if not container.streams.video:
            raise Empty
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 2
        is_timed = container.format.name not in NOT_TIMED
        report({"opened": True})
        for packet in container.demux(stream):
            alarm.set()
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:  # a damaged place; later pictures may be whole
                continue
            for frame in frames:
                count += 1
                if is_timed and frame.time is not None and not pace.admits(frame.time):
                    continue
                now = time.monotonic()
                if now - sent >= 0.7 / order["rate"]:
                    sent = now
                    send_frame(frame, stream.sample_aspect_ratio, order["side"])
    return count


def send_frame(frame: Any, aspect: Any, side: int) -> None:
    """aspect: width by height of the video's pixels; None: they are square."""
    width, height = frame.width, frame.height
    if aspect:
        width = round(width * float(aspect))
    scale = min(1.0, side / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    pixels = frame.reformat(*size, "rgb24").to_ndarray()
    if turns := round(frame.rotation / 90) % 4:  # how a phone was held
        import numpy as np

        pixels = np.ascontiguousarray(np.rot90(pixels, turns))
    send(PIXELS, pixels.tobytes(), pixels.shape[1], pixels.shape[0])


def failure(error: Exception) -> Report:
    """Without the text of the error, which may contain the address."""
    import av

    if isinstance(error, urllib.error.HTTPError):
        return {"failed": "status", "detail": str(error.code)}
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, Exception):
        error = error.reason
    if isinstance(error, av.error.HTTPClientError | av.error.HTTPServerError):
        return {"failed": "status", "detail": type(error).__name__}
    named: tuple[tuple[type[Exception] | tuple[type[Exception], ...], str], ...] = (
        (own_address.OwnAddress, "own"),
        (http_reader.WrongAddress, "wrong"),
        (socket.gaierror, "host"),
        (ConnectionRefusedError, "refused"),
        (TimeoutError, "timeout"),
        (ssl.SSLCertVerificationError, "certificate"),
        (Empty, "empty"),
        ((Ended, EOFError, ConnectionError, http.client.HTTPException), "ended"),
        ((av.error.InvalidDataError, av.error.PatchWelcomeError, MemoryError), "damaged"),
    )
    for kinds, name in named:
        if isinstance(error, kinds):
            return {"failed": name}
    if isinstance(error, OSError):
        return {"failed": "system", "detail": os.strerror(error.errno or 0)}
    where = "".join(traceback.format_tb(error.__traceback__))
    return {"failed": "program", "detail": f"{type(error).__name__}\n{where}"}


def end_with_the_program() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> int:
    order: Order = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=end_with_the_program, daemon=True).start()
    os.nice(5)  # the engine comes first
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    alarm.timeout_s = order["timeout_s"]
    alarm.set()
    try:
        (play_url if order["is_url"] else play_file)(order)
    except Exception as error:  # the other process reports it
        report(failure(error))
    os._exit(0)  # without waiting for a connection to be closed


if __name__ == "__main__":
    sys.exit(main())
