"""One controller's WebSocket: reads messages, sends answers and the newest state.

The gevent thread, one greenlet for each. `websockets` parses and serialises the frames; nothing
here waits while it sends, so a client that does not read delays nobody.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from gevent.event import Event
from gevent.hub import get_hub
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import SEND_EOF, State
from websockets.server import ServerProtocol

from turbostream.web.live.control_session import ControlSession
from turbostream.web.live.picture_messages import MOST_PICTURE_BYTES, is_picture

log = logging.getLogger(__name__)
_quiet = logging.getLogger(f"{__name__}.frames")
_quiet.setLevel(logging.WARNING)  # websockets logs the end of each connection

PIECE_BYTES = 2048  # of one read: what is parsed without giving way
MOST_UNSENT_BYTES = 64 * 1024  # beyond it nothing is read
PUSH_INTERVAL_S = 1 / 30
PING_S = 20.0
IDLE_S = 1.0
CLOSING_S = 1.0  # for the client to end a connection that is being closed
STOPPING_S = 0.3  # the same while the program stops
GOING_AWAY = "The server is stopping or being replaced; connect again."
NOT_TEXT = "A text message is not UTF-8."
TOO_LARGE = "A message has at most {:,} bytes; a JPEG, PNG or WebP at most {:,}."


@dataclass
class Counts:
    """Of all controllers since the start, for /metrics."""

    messages: int = 0  # received, pictures among them


class Client(Protocol):
    """The connection, as web/http hands it over."""

    socket: Any

    def take(self, most: int) -> bytes | None: ...
    def offer(self, data: bytes | bytearray) -> int: ...
    def end_sending(self) -> None: ...
    def wait_for(self, event: Event, timeout_s: float) -> None: ...
    def give_way(self) -> None: ...
    def wait_for_turn(self) -> None: ...


class ControlSocket:
    """`run` serves it until it is closed. Times are seconds on `clock`."""

    def __init__(
        self,
        client: Client,
        session: ControlSession,
        counts: Counts,
        most_bytes: int,
        dead_after_s: float,
        stopping: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        """most_bytes: of one message that is no picture."""
        self._client, self._session, self._counts = client, session, counts
        self._dead_after_s, self._stopping, self._clock = dead_after_s, stopping, clock
        self._most_bytes = most_bytes
        longest = max(most_bytes, MOST_PICTURE_BYTES)
        self._protocol = ServerProtocol(state=State.OPEN, max_size=longest, logger=_quiet)
        self._message = bytearray()  # the fragments so far
        self._is_text = True
        self._unsent = bytearray()
        self._sent_end = False
        self._changed, self._next_push = True, 0.0
        now = clock()
        self._taken_at = now  # when the client last took bytes, or none were waiting
        self._ping_every_s = min(PING_S, 2 * dead_after_s)
        self._next_ping = now + self._ping_every_s
        self._silent_since: float | None = None  # the first ping without a sign of life
        self._closes_at: float | None = None  # whatever the client does
        self._ended = False
        self._woken = Event()
        loop, number = get_hub().loop, client.socket.fileno()
        self._readable, self._writable = loop.io(number, 1), loop.io(number, 2)

    def changed(self) -> None:
        """The state has changed: send the newest."""
        self._changed = True
        self._woken.set()

    def look(self) -> None:
        """The program may be stopping."""
        self._woken.set()

    def run(self) -> None:
        """Raises OSError if the connection breaks."""
        try:
            while not self._ended:
                arrived = self._read()
                self._act()
                self._write()
                if arrived:
                    self._client.wait_for_turn()
                elif not self._ended:
                    self._wait()
        finally:
            self._session.leave()
            for watcher in (self._readable, self._writable):
                watcher.stop()
                watcher.close()

    # -- reading -------------------------------------------------------------------------------

    @property
    def _may_read(self) -> bool:
        return len(self._unsent) < MOST_UNSENT_BYTES

    def _read(self) -> bool:
        """Handle a piece of what has arrived; False if nothing had."""
        data = self._client.take(PIECE_BYTES) if self._may_read else None
        if data is None:
            return False
        self._silent_since = None
        if not data:
            self._ended = True
            return False
        self._protocol.receive_data(data)
        for frame in self._protocol.events_received():
            if self._closes_at is not None:
                break  # what follows a close, or is not followed by an answer any more
            if isinstance(frame, Frame):
                self._take(frame)
                self._client.give_way()
        return True

    def _take(self, frame: Frame) -> None:
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            self._is_text = frame.opcode is Opcode.TEXT
            self._message.clear()
        elif frame.opcode is not Opcode.CONT:
            return
        self._message += frame.data
        pictured = not self._is_text and is_picture(self._message)
        if len(self._message) > self._most_bytes and not pictured:
            self._message.clear()
            sentence = TOO_LARGE.format(self._most_bytes, MOST_PICTURE_BYTES)
            self._fail(CloseCode.MESSAGE_TOO_BIG, sentence)
            return
        if not frame.fin:
            return
        message, self._message = self._message, bytearray()
        self._counts.messages += 1
        if pictured:
            self._session.picture(message)
        elif not self._is_text:
            self._session.datagram(message)
        elif is_utf8(message):
            self._session.text(message)
        else:
            self._fail(CloseCode.INVALID_DATA, NOT_TEXT)

    def _fail(self, code: CloseCode, sentence: str) -> None:
        """RFC 6455, 8.1 and 10.4: such a connection has to end."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_text(json.dumps({"error": sentence}).encode())
            self._protocol.fail(code, sentence)
            self._closes_at = self._clock() + CLOSING_S

    # -- what is due ---------------------------------------------------------------------------

    def _act(self) -> None:
        now, protocol, session = self._clock(), self._protocol, self._session
        due_s = session.due_s()
        if due_s is not None and due_s <= 0:
            session.flush()
        session.acknowledge()
        if protocol.state is State.OPEN:
            if self._stopping():
                protocol.send_close(CloseCode.GOING_AWAY, GOING_AWAY)
                self._closes_at = now + STOPPING_S
                return
            for answer in session.answers:
                protocol.send_text(answer.encode())
            if self._changed and not self._unsent and now >= self._next_push:
                self._changed, self._next_push = False, now + PUSH_INTERVAL_S
                protocol.send_text(session.state().encode())
            if now >= self._next_ping:
                protocol.send_ping(b"")
                self._next_ping = now + self._ping_every_s
                if self._silent_since is None:
                    self._silent_since = now
        elif self._closes_at is None:
            self._closes_at = now + CLOSING_S  # the client closes, or has broken the protocol
        session.answers.clear()
        silent = self._silent_since is not None and now - self._silent_since > self._dead_after_s
        stuck = bool(self._unsent) and now - self._taken_at > self._dead_after_s
        late = self._closes_at is not None and now >= self._closes_at
        self._ended |= silent or stuck or late

    # -- writing and waiting -------------------------------------------------------------------

    def _write(self) -> None:
        if not self._unsent:
            self._taken_at = self._clock()
        for piece in self._protocol.data_to_send():
            if piece == SEND_EOF:
                self._sent_end = True
            self._unsent += piece
        while self._unsent:
            count = self._client.offer(self._unsent)
            if not count:
                return
            self._taken_at = self._clock()
            del self._unsent[:count]
        if self._sent_end:
            self._sent_end = False
            self._client.end_sending()

    def _wait(self) -> None:
        now = self._clock()
        times = [now + IDLE_S, self._next_ping]
        due = self._session.due_s(), self._session.pictures_due_s()
        times += [now + due_s for due_s in due if due_s is not None]
        if self._changed and not self._unsent:
            times.append(self._next_push)
        if self._closes_at is not None:
            times.append(self._closes_at)
        if self._may_read:
            self._readable.start(self._wake_for, self._readable)
        if self._unsent:
            self._writable.start(self._wake_for, self._writable)
        self._client.wait_for(self._woken, max(0.0, min(times) - now))
        self._woken.clear()
        self._readable.stop()
        self._writable.stop()

    def _wake_for(self, watcher: Any) -> None:
        watcher.stop()
        self._woken.set()


def is_utf8(data: bytearray) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
