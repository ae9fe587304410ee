"""OSC: messages from the UDP port OSC_PORT and from the binary frames of the control socket.

The thread "osc" reads the port, keeps the newest message for each address, and applies it. It reads
at most every PAUSE_S and for at most BUSY_S of CPU time, so a flood costs at most about a fifth of
a core; what exceeds the kernel's buffer is lost, as always with UDP. Frames of the control socket
are decoded on the thread of their caller. Both share one controller. No reply is ever sent, since
the sender's address of a datagram can be forged.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from turbostream.control.osc_messages import ADDRESSES, OscError, address_of, decode, messages
from turbostream.control.osc_port import (
    DATAGRAM_BYTES,
    WHY_NOT_LISTENING,
    is_loopback,
    is_taken,
    listen,
)
from turbostream.control.osc_reports import Reports
from turbostream.settings import Settings
from turbostream.stream.controller import INTERVAL_S, Controller
from turbostream.stream.desk import Desk
from turbostream.stream.parameters import PARAMETERS
from turbostream.stream.scene_checks import SceneError

log = logging.getLogger(__name__)

PAUSE_S = INTERVAL_S  # between two reads of the port; changes are not applied more often
BUSY_S = 0.002  # of CPU time for one read
RETRY_S = 0.25  # while the process before this one has the port
AFTER_ERROR_S = 1.0


class OscInput:
    """received, dropped: counts of messages from the UDP port; dropped: those that were refused.
    problem: why the port cannot be opened, in one sentence."""

    def __init__(self, settings: Settings, desk: Desk) -> None:
        self.received = self.dropped = 0
        self.problem: str | None = None
        self._host, self._port = settings.osc_host, settings.osc_port
        self._takes_over = settings.handover == "take"
        self._controller = Controller(desk)
        self._lock = threading.Lock()  # of the controller
        self._reports = Reports()
        self._listening: socket.socket | None = None
        self._woken, self._wake = socket.socketpair()
        for one in (self._woken, self._wake):
            one.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="osc", daemon=True)

    def start(self) -> bool:
        """Open the port, if there is one; False, with `problem` set, if that fails.

        A process that takes over from another one opens it as soon as that one has closed it.
        """
        if not self._port:
            return True
        try:
            self._open()
        except (OSError, UnicodeError, TypeError) as error:  # also from a malformed host name
            if not (self._takes_over and is_taken(error)):
                self.problem = WHY_NOT_LISTENING.why(error, self._host, self._port)
                return False
            log.info("[osc] waiting for %s:%d, which is taken.", self._host, self._port)
        self._thread.start()
        return True

    def stop(self, timeout_s: float) -> None:
        """Close the port; what waits to be applied is dropped."""
        with self._lock:
            if self._stopping.is_set():
                return
            self._stopping.set()
            self._notify()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        if not self._thread.is_alive():
            self._selector.close()
            for one in (self._woken, self._wake, self._listening):
                if one is not None:
                    one.close()

    def datagram(self, data: bytes) -> str | None:
        """Apply a datagram of the control socket, on any thread; one sentence if a message in it is
        refused. The others are applied nevertheless."""
        refused: list[OscError] = []
        newest: dict[bytes, bytes] = {}
        _merge(data, newest, refused.append)
        for message in newest.values():
            try:
                self._put(message)
            except OscError as error:
                refused.append(error)
        problem = self._flush() or (str(refused[-1]) if refused else None)
        with self._lock:
            if self._stopping.is_set() or self._controller.due_s() is None:
                return problem
            if self._thread.ident is None:
                self._thread.start()
            self._notify()
        return problem

    # -- the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._turn()
            except Exception:  # the next message may work: a performance goes on
                log.exception("[osc] a message could not be applied; the next one follows.")
                self._stopping.wait(AFTER_ERROR_S)

    def _turn(self) -> None:
        with self._lock:
            wait_s = self._controller.due_s()
        if self._port and self._listening is None and not self._open_if_free():
            wait_s = RETRY_S if wait_s is None else wait_s
        ready = {key.fileobj for key, _ in self._selector.select(wait_s)}
        if self._woken in ready:
            self._woken.recv(DATAGRAM_BYTES)
        read = self._listening in ready
        if read:
            for message in self._read():
                try:
                    self._put(message)
                except OscError as error:
                    self._refuse(error)
        if problem := self._flush():
            self.dropped += 1
            self._reports.add(problem, problem)
        if read:
            self._stopping.wait(PAUSE_S)

    def _open_if_free(self) -> bool:
        try:
            self._open()
        except OSError as error:
            if not is_taken(error):
                raise
            return False
        return True

    def _open(self) -> None:
        self._listening = listen(self._host, self._port)
        self._selector.register(self._listening, selectors.EVENT_READ)
        log.info("[osc] receiving at %s:%d", self._host, self._port)
        if not is_loopback(self._listening):
            log.warning(
                "[osc] whoever reaches UDP port %d controls the picture: OSC has no passwords. "
                "Restrict it with a firewall, or set OSC_HOST to 127.0.0.1.",
                self._port,
            )

    def _read(self) -> list[bytes]:
        """The messages that are left of those that have arrived."""
        assert self._listening is not None
        newest: dict[bytes, bytes] = {}
        end = time.thread_time() + BUSY_S
        while time.thread_time() < end:
            try:
                datagram = self._listening.recv(DATAGRAM_BYTES)
            except BlockingIOError:
                break
            self.received += _merge(datagram, newest, self._refuse)
        return list(newest.values())

    def _refuse(self, error: OscError) -> None:
        self.dropped += 1
        self._reports.add(error.address, str(error))

    # -- any thread ----------------------------------------------------------------------------

    def _put(self, message: bytes) -> None:
        """Raises OscError."""
        name, value = decode(message)
        try:
            with self._lock:
                self._controller.put({name: value})
        except SceneError as error:
            raise OscError(address_of(message), str(error)) from None

    def _flush(self) -> str | None:
        """Apply what is due; one sentence if that fails."""
        with self._lock:
            if self._controller.due_s() != 0:
                return None
            try:
                self._controller.flush()
            except SceneError as error:
                return str(error)
        return None

    def _notify(self) -> None:
        with suppress(BlockingIOError):  # the buffer is full: the thread will wake
            self._wake.send(b"\0")


def _merge(
    datagram: bytes, newest: dict[bytes, bytes], refuse: Callable[[OscError], object]
) -> int:
    """Add the messages of `datagram` to `newest`, which keeps the last one for each address, and
    all that differ for a trigger, since the press of a button must not be lost to its release.
    Calls `refuse` for those that are malformed; returns how many there were.
    """
    try:
        found = messages(datagram, time.time())
    except OscError as error:
        refuse(error)
        return 1
    for message in found:
        try:
            address = address_of(message)
        except OscError as error:
            refuse(error)
            continue
        key = message if PARAMETERS[ADDRESSES[address]].kind == "trigger" else address
        newest.pop(key, None)  # to the end: the order of the last messages
        newest[key] = message
    return len(found)
