"""One client's socket: a buffer, a deadline, and a turn that is given up before it gets long.

The deadline is compared on every read, so a client that never lets a read wait cannot outlive it.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent

from turbostream.web.http.turns import Turn, Turns

PIECE_BYTES = 8192  # of one read: what is parsed without giving way
LINGER_PIECE_BYTES = 64 * 1024
LINGER_S = 2.0
LINGER_PAUSE_S = 0.01  # between two reads: what is thrown away is taken slowly
SEND_BUFFER_BYTES = 64 * 1024  # what the kernel holds for a slow viewer; old pictures, all of it


class Late(Exception):
    """The deadline has passed."""


class Wire:
    """Reads and writes of one connection."""

    def __init__(self, connection: Any, turns: Turns, turn: Turn, dead_after_s: float) -> None:
        self.socket = connection
        self.buffer = bytearray()
        self.deadline = 0.0  # monotonic s; for reading
        self.dropped = False
        self.on_stuck: Callable[[bool], None] = lambda stuck: None
        self._stuck = False  # a write waits for a client that takes nothing
        self._turns, self._turn = turns, turn
        self._dead_after_s = dead_after_s
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: a peer that vanished without a word
            dead_ms = int(dead_after_s * 1000)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, dead_ms)

    def drop(self) -> None:
        """As if the client had left; what waits for it wakes up."""
        self.dropped = True
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR if self._stuck else socket.SHUT_RD)
        if self._turn.waiting is not None:
            self._turn.waiting.set()

    def receive(self, most: int = PIECE_BYTES) -> bytes:
        """What has come, or comes before the deadline; b"" at the end. Raises Late, OSError."""
        self._turns.breathe(self._turn)
        left_s = self.deadline - time.monotonic()
        if left_s <= 0:
            raise Late
        if self.dropped:
            return b""
        self.socket.settimeout(0)
        try:
            data = bytes(self.socket.recv(most))
        except BlockingIOError:
            self._turns.charge(self._turn)
            self.socket.settimeout(left_s)
            try:
                data = bytes(self.socket.recv(most))
            except TimeoutError:
                raise Late from None
            finally:
                self._turn.resume()
        return b"" if self.dropped else data  # Linux goes on delivering after SHUT_RD

    def send(self, data: bytes) -> None:
        """Raises OSError once the client has taken no byte for so long as makes it dead; whoever
        takes one now and then stays."""
        view = memoryview(data)
        self._turns.breathe(self._turn)
        while view:
            if self.dropped:
                raise BrokenPipeError(errno.EPIPE, "dropped")
            self.socket.settimeout(0)
            try:
                view = view[self.socket.send(view) :]
                continue
            except BlockingIOError:
                pass
            self._turns.charge(self._turn)
            self.socket.settimeout(self._dead_after_s)
            self._is_stuck(True)
            try:
                view = view[self.socket.send(view) :]
            except TimeoutError:
                raise BrokenPipeError(errno.EPIPE, "no byte taken") from None
            finally:
                self._is_stuck(False)
                self._turn.resume()

    def _is_stuck(self, stuck: bool) -> None:
        self._stuck = stuck
        self.on_stuck(stuck)

    def linger(self) -> None:
        """Let the client read the last answer: what is left unread would turn it into a reset.
        Ends after LINGER_S, whatever still comes."""
        self.deadline = time.monotonic() + LINGER_S
        with suppress(OSError, Late):
            self.socket.shutdown(socket.SHUT_WR)
            while self.receive(LINGER_PIECE_BYTES):
                gevent.sleep(LINGER_PAUSE_S)
                self._turn.resume()
