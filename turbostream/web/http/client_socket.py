"""One client's socket: a buffer, a deadline, and a slice of processor time.

The deadline is compared on every read, so a client whose data never lets a read block cannot
outlive it.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gevent
from gevent.event import Event

from turbostream.web.http.cpu_shares import CpuShares, CpuUse

PIECE_BYTES = 8192  # of one read: what is parsed without giving way
LINGER_PIECE_BYTES = 64 * 1024
LINGER_S = 2.0
LINGER_PAUSE_S = 0.01  # between two reads: what is discarded is read slowly
SEND_BUFFER_BYTES = 64 * 1024  # what the kernel holds for a slow viewer is old pictures


class DeadlinePassed(Exception):
    """The request has not arrived in time."""


class ClientSocket:
    """Reads and writes of one connection."""

    def __init__(
        self, connection: Any, shares: CpuShares, use: CpuUse, dead_after_s: float
    ) -> None:
        self.socket = connection
        self.buffer = bytearray()
        self.deadline = 0.0  # monotonic s; for reading
        self.dropped = False
        self.on_stalled: Callable[[bool], None] = lambda stalled: None
        self._stalled = False  # a write waits for a client that takes nothing
        self._shares, self._use = shares, use
        self._dead_after_s = dead_after_s
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: a peer that has vanished
            dead_ms = int(dead_after_s * 1000)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, dead_ms)

    def drop(self) -> None:
        """As if the client had left; what waits for it wakes up."""
        self.dropped = True
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR if self._stalled else socket.SHUT_RD)
        if self._use.queued is not None:
            self._use.queued.set()

    def receive(self, most: int = PIECE_BYTES) -> bytes:
        """What has arrived, or arrives before the deadline; b"" at the end. Raises DeadlinePassed
        and OSError."""
        self._shares.yield_if_due(self._use)
        left_s = self.deadline - time.monotonic()
        if left_s <= 0:
            raise DeadlinePassed
        if self.dropped:
            return b""
        self.socket.settimeout(0)
        try:
            data = bytes(self.socket.recv(most))
        except BlockingIOError:
            self._shares.charge(self._use)
            self.socket.settimeout(left_s)
            try:
                data = bytes(self.socket.recv(most))
            except TimeoutError:
                raise DeadlinePassed from None
            finally:
                self._use.resume()
        return b"" if self.dropped else data  # Linux still delivers data after SHUT_RD

    def send(self, data: bytes) -> None:
        """Raises OSError once the client has taken no byte for `dead_after_s`; a slow client that
        takes some now and then is kept."""
        view = memoryview(data)
        self._shares.yield_if_due(self._use)
        while view:
            if self.dropped:
                raise BrokenPipeError(errno.EPIPE, "dropped")
            self.socket.settimeout(0)
            try:
                view = view[self.socket.send(view) :]
                continue
            except BlockingIOError:
                pass
            self._shares.charge(self._use)
            self.socket.settimeout(self._dead_after_s)
            self._set_stalled(True)
            try:
                view = view[self.socket.send(view) :]
            except TimeoutError:
                raise BrokenPipeError(errno.EPIPE, "no byte taken") from None
            finally:
                self._set_stalled(False)
                self._use.resume()

    # -- for a protocol that follows a 101: nothing here waits for the client ------------------

    def take(self, most: int) -> bytes | None:
        """What has arrived, first what came behind the request; None if nothing has, b"" at the
        end. Raises OSError."""
        if self.buffer:
            data = bytes(self.buffer[:most])
            del self.buffer[:most]
            return data
        if self.dropped:
            return b""
        self.socket.settimeout(0)
        try:
            return bytes(self.socket.recv(most))
        except BlockingIOError:
            return None

    def offer(self, data: bytes | bytearray) -> int:
        """How many bytes of `data` are taken at once. Raises OSError."""
        self.socket.settimeout(0)
        try:
            return int(self.socket.send(data))
        except BlockingIOError:
            return 0

    def end_sending(self) -> None:
        """No byte follows. Raises OSError."""
        self.socket.shutdown(socket.SHUT_WR)

    def wait_for(self, event: Event, timeout_s: float) -> None:
        """What others do meanwhile is not charged to this connection."""
        self._shares.charge(self._use)
        event.wait(timeout_s)
        self._use.resume()

    def give_way(self) -> None:
        """Let others go on if this connection has used its slice."""
        self._shares.yield_if_due(self._use)

    def wait_for_turn(self) -> None:
        """Let others go on, and for longer if this connection or all together used much."""
        self._shares.wait_for_turn(self._use)

    # ------------------------------------------------------------------------------------------

    def _set_stalled(self, stalled: bool) -> None:
        self._stalled = stalled
        self.on_stalled(stalled)

    def linger(self) -> None:
        """Let the client read the last answer: closing with unread data would reset it. Ends after
        LINGER_S, whatever still arrives."""
        self.deadline = time.monotonic() + LINGER_S
        with suppress(OSError, DeadlinePassed):
            self.socket.shutdown(socket.SHUT_WR)
            while self.receive(LINGER_PIECE_BYTES):
                gevent.sleep(LINGER_PAUSE_S)
                self._use.resume()
