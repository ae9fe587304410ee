"""As much of an RTSP server as plays one MPEG transport stream, again and again, over TCP."""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PACKET = 7 * 188  # bytes of the transport stream in one packet of RTP
SDP = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:v\r\n"
HEADERS = {
    "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n",
    "DESCRIBE": f"Content-Type: application/sdp\r\nContent-Length: {len(SDP)}\r\n",
    "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n",
    "PLAY": "Session: 1\r\n",
}


def _serve(connection: socket.socket, stream: bytes, ended: threading.Event) -> None:
    with connection, connection.makefile("rb") as requests:
        while line := requests.readline().decode():
            method = line.partition(" ")[0]
            head = ""
            while (field := requests.readline().decode()).strip():
                head += field
            number = re.search(r"CSeq: *(\d+)", head)
            assert number is not None
            answer = f"RTSP/1.0 200 OK\r\nCSeq: {number[1]}\r\n{HEADERS[method]}\r\n"
            connection.sendall((answer + (SDP if method == "DESCRIBE" else "")).encode())
            if method == "PLAY":
                break
        count = 0
        while not ended.wait(0.01):
            begin = count * PACKET % len(stream)
            payload = stream[begin : begin + PACKET]
            rtp = struct.pack(">BBHII", 0x80, 33, count & 0xFFFF, count * 900, 1) + payload
            connection.sendall(struct.pack(">cBH", b"$", 0, len(rtp)) + rtp)
            count += 1


@contextmanager
def playing(file: Path) -> Iterator[int]:
    """The port of a server that plays `file` to one reader."""
    stream, ended = file.read_bytes(), threading.Event()
    stream = stream[: len(stream) // PACKET * PACKET]

    def run(listener: socket.socket) -> None:
        with suppress(OSError):  # of a reader that has gone
            _serve(listener.accept()[0], stream, ended)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        thread = threading.Thread(target=run, args=(listener,), name="rtsp server")
        thread.start()
        yield listener.getsockname()[1]
        ended.set()
        thread.join()
