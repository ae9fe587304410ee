"""The client side of the server's control socket, a WebSocket (RFC 6455), for osc_bridge.py.

As much of it as the bridge needs, instead of a library: it runs on the user's computer, where
nothing is installed. Python 3.8 or newer, the standard library only.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import socket
import struct

CONNECT_S = 5.0
MOST_HEAD = 64 * 1024  # bytes of an answer that is not a WebSocket
MOST_RECEIVED = 4 * 1024 * 1024  # bytes of one message of the server
MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
BINARY, CLOSE, PING, PONG = 2, 8, 9, 10


class NoWebSocket(Exception):
    """One sentence: the server answers, but not as a control socket."""


class ControlSocket:
    """A connection to the server; raises OSError when it ends, and NoWebSocket if it is not a
    control socket."""

    def __init__(self, port: int) -> None:
        self._unsent = bytearray()
        self._received = bytearray()
        self._message = bytearray()  # the fragments so far
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=CONNECT_S)
        try:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._shake_hands(port)
            self.socket.setblocking(False)
        except BaseException:
            self.socket.close()
            raise

    def _shake_hands(self, port: int) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET /control HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._more(answer)
        head, _, body = answer.partition(b"\r\n\r\n")
        accept = base64.b64encode(hashlib.sha1((key + MAGIC).encode()).digest())
        if head.split(None, 2)[1:2] == [b"101"] and accept in head:
            self._received += body
            return
        size = re.search(rb"\r\ncontent-length: *([0-9]{1,5})", head, re.IGNORECASE)
        while size and len(body) < int(size[1]):
            body += self._more(body)
        raise NoWebSocket(why_refused(head, body))

    def _more(self, answer: bytes) -> bytes:
        piece = self.socket.recv(65536)
        if not piece or len(answer) > MOST_HEAD:
            raise ConnectionResetError("no answer")
        return piece

    @property
    def unsent(self) -> int:
        return len(self._unsent)

    def put(self, opcode: int, data: bytes) -> None:
        """Add a frame, masked as a client has to."""
        size = len(data)
        if size < 126:
            head = struct.pack(">BB", 0x80 | opcode, 0x80 | size)
        elif size < 65536:
            head = struct.pack(">BBH", 0x80 | opcode, 0x80 | 126, size)
        else:
            head = struct.pack(">BBQ", 0x80 | opcode, 0x80 | 127, size)
        mask = os.urandom(4)
        whole = (mask * (size // 4 + 1))[:size]
        masked = int.from_bytes(data, "big") ^ int.from_bytes(whole, "big")
        self._unsent += head + mask + masked.to_bytes(size, "big")

    def write(self) -> None:
        while self._unsent:
            try:
                del self._unsent[: self.socket.send(self._unsent)]
            except BlockingIOError:
                return

    def read(self) -> list[bytes]:
        """The text messages that have arrived."""
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return []
        if not data:
            raise ConnectionResetError("closed")
        self._received += data
        found: list[bytes] = []
        while True:
            frame = self._next_frame()
            if frame is None:
                return found
            final, opcode, payload = frame
            if opcode == CLOSE:
                raise ConnectionResetError("closed")
            if opcode == PING:
                self.put(PONG, payload)
            elif opcode < CLOSE:
                self._message += payload
                if final:
                    found.append(bytes(self._message))
                    self._message.clear()

    def _next_frame(self) -> tuple[bool, int, bytes] | None:
        data = self._received
        if len(data) < 2:
            return None
        size, start = data[1] & 127, 2
        if size >= 126:
            start = 4 if size == 126 else 10
            if len(data) < start:
                return None
            size = int.from_bytes(data[2:start], "big")
        if size + len(self._message) > MOST_RECEIVED:
            raise ConnectionResetError("a message is too large")
        if len(data) < start + size:
            return None
        payload = bytes(data[start : start + size])
        found = bool(data[0] & 128), data[0] & 15, payload
        del data[: start + size]
        return found


def why_refused(head: bytes, body: bytes) -> str:
    status = b" ".join(head.split(b"\r\n", 1)[0].split()[1:]).decode("ascii", "replace")
    try:
        sentence = str(json.loads(body.decode())["error"])
    except (ValueError, KeyError, TypeError):
        sentence = "update it with ./start_stream_server.sh if it is older than this script."
    return f"OSC: the server refuses the connection ({status}): {sentence}"
