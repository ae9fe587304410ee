"""When and where this process is reachable: at once, or after the one before it has given way.

With HANDOVER=take and somebody serving from the same STATE_DIR, this process stands by on a free
port of this machine, paints its first picture there, and only then takes the public port. Two
small files tell the start script: `standby` and `serving`, each "PID PORT FOLDER".

The gevent thread only.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gevent
from flask import Flask

from turbostream.settings import Settings
from turbostream.stream import state_folder
from turbostream.stream.scene import SceneError
from turbostream.stream.scene_file import SceneFile
from turbostream.web.http import handover
from turbostream.web.http.limits import Limits, connections_possible
from turbostream.web.http.places import Places
from turbostream.web.http.server import Server

log = logging.getLogger(__name__)

ROOM = 512  # bytes of what is told, with spaces at its end, so that the next words fit in
PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
RETRY_S = 1.0  # between attempts to write into STATE_DIR


def why_not(error: Exception, host: str, port: int) -> str:
    """Why the server cannot listen on `host`:`port` and what to change, in one sentence."""
    number = error.errno if isinstance(error, OSError) else None
    if (
        isinstance(error, (UnicodeError, TypeError, socket.gaierror))
        or number == errno.EADDRNOTAVAIL
    ):
        return (
            f"SERVER_HOST {host[:60]} is no address of this machine; 127.0.0.1 serves this machine "
            "alone, 0.0.0.0 everybody who reaches it."
        )
    if number in (errno.EACCES, errno.EPERM):
        return (
            f"This user may not listen on {host}:{port}; give a SERVER_PORT above 1023, or run as "
            "a user who may."
        )
    reason = os.strerror(number) if number else str(error)
    return (
        f"The server cannot listen on {host}:{port} ({reason}); stop what does, or give another "
        "SERVER_PORT."
    )


class Door:
    """The server's address over its whole life; `closed` turns true when it was handed on."""

    def __init__(
        self,
        app: Flask,
        settings: Settings,
        scene_file: SceneFile,
        unhealthy: Callable[[], str | None],
        places: Places,
    ) -> None:
        self.problem: str | None = None  # why the port cannot be had, in one sentence
        self._app, self._settings, self._scene_file = app, settings, scene_file
        self._unhealthy = unhealthy
        self._folder = settings.state_folder
        self._places = places
        self._limits = Limits.of(settings, connections_possible(settings.max_connections))
        self._hands_over = settings.handover != "no"
        self._offer: handover.Offer | None = None
        self._waiting: Any = None
        self._telling: Any = None
        self._complained = False
        self._server: Server | None = None

    @property
    def closed(self) -> bool:
        """True when there is nothing left to serve: handed over, or the port cannot be had."""
        return self.problem is not None or (self._offer is not None and self._offer.given)

    def open(self) -> bool:
        """Be reachable, publicly or standing by; False, with `problem` set, if that fails."""
        if self._hands_over:
            if problem := self._unwritable():
                self.problem = problem
                return False
            takes = self._settings.handover == "take"
            if takes and handover.somebody_serves(self._folder):
                self._server = self._make_server("127.0.0.1", 0)
                host, port = self._server.start()
                self._try(
                    "the start script is not told how far this is", self._tell, "standby", port
                )
                log.info("[flask] standing by on %s:%d until a picture is painted.", host, port)
                self._waiting = gevent.spawn(self._take_when_healthy)
                self._waiting.link_exception(self._note_failure)
                return True
        return self._open_publicly()

    def close(self, timeout_s: float) -> None:
        """End the connections within `timeout_s`."""
        for greenlet in (self._waiting, self._telling):
            if greenlet is not None:
                greenlet.kill()
        if self._offer is not None:
            self._offer.close()
        if self._server is not None:
            self._server.stop(timeout_s)

    def _make_server(self, host: str, port: int) -> Server:
        return Server(self._app, host, port, self._limits, self._places)

    def _open_publicly(self) -> bool:
        settings = self._settings
        server = self._make_server(settings.server_host, settings.server_port)
        try:
            server.start()
        except (OSError, UnicodeError, TypeError) as error:  # of a host name, too
            self.problem = why_not(error, settings.server_host, settings.server_port)
            return False
        if self._server is not None:
            self._server.stop(0)
        self._server = server
        self._scene_file.restore()
        self._announce()
        return True

    def _unwritable(self) -> str | None:
        """One sentence if STATE_DIR can never hold what a handover needs. A disk that is full or
        read-only for now is no wrong setting: somebody has to serve meanwhile."""
        trial = self._folder / f".trial.{os.getpid()}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            trial.touch()
            trial.unlink()
        except OSError as error:
            if error.errno in PASSING:
                return None
            return (
                f"STATE_DIR {self._folder} cannot be written ({error.strerror}), which "
                f"HANDOVER={self._settings.handover} needs; give another STATE_DIR."
            )
        return None

    def _take_when_healthy(self) -> None:
        while self._unhealthy() is not None:
            gevent.sleep(0.1)
        if not handover.take(self._folder, self._serve_taken):
            log.info("[flask] the process before this one is gone; taking its port.")
            self._open_publicly()

    def _note_failure(self, greenlet: Any) -> None:
        self.problem = f"The port could not be taken over ({greenlet.exception})."

    def _serve_taken(self, listener: Any, scene: Mapping[str, Any]) -> None:
        try:
            self._scene_file.hand_on(scene)
        except SceneError as error:
            log.info("[flask] the words of the process before were not taken over: %s", error)
        assert self._server is not None
        self._server.move(listener)
        self._announce()

    def _announce(self) -> None:
        assert self._server is not None
        host, port = self._server.address
        log.info("[flask] running on %s:%d", host, port)
        log.info("Open http://localhost:%d/ and type. Ctrl-C ends it.", port)
        if self._hands_over:
            self._offer_now_or_later(port)
        self._scene_file.start(self._serves)

    def _offer_now_or_later(self, port: int) -> None:
        if not self._offers(port):
            self._telling = gevent.spawn(self._offer_later, port)

    def _offers(self, port: int) -> bool:
        """Say who serves and offer the port to the next process; False while the disk takes
        neither, which is no reason to serve nobody."""
        missing = "the next start cannot take over from this process until that is gone"
        offered = self._try(missing, self._make_offer)
        return self._try(missing, self._tell, "serving", port) and offered

    def _make_offer(self) -> None:
        assert self._server is not None
        if self._offer is None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._offer = handover.Offer(
                self._folder, self._server.fileno, self._scene_file.left, self._offer_again
            )

    def _offer_again(self) -> None:
        """A taker ended half-way: put back what it may have written into STATE_DIR as the one that
        serves, its name and its socket."""
        assert self._server is not None
        assert self._offer is not None
        self._offer.close()
        self._offer = None
        self._offer_now_or_later(self._server.address[1])

    def _offer_later(self, port: int) -> None:
        while not self._offers(port):
            gevent.sleep(RETRY_S)
        log.info("[flask] STATE_DIR can be written again.")

    def _try(self, missing: str, write: Callable[..., None], *arguments: object) -> bool:
        try:
            write(*arguments)
        except (OSError, state_folder.UntrustedFile) as error:
            if not self._complained:
                log.warning("[flask] %s cannot be written (%s): %s.", self._folder, error, missing)
                self._complained = True
            return False
        return True

    def _serves(self) -> bool:
        """False from when the scene is on its way to the next process, which keeps it from then."""
        return self._offer is None or not (self._offer.giving or self._offer.given)

    def _tell(self, name: str, port: int) -> None:
        """Write who this is; raises OSError and leaves what was there."""
        text = f"{os.getpid()} {port} {Path.cwd()}\n"
        try:
            state_folder.write(self._folder / name, text.ljust(ROOM))
        except OSError:
            # A full disk takes no new file. It does take other words into the room of the old ones:
            # the process that wrote those is gone.
            state_folder.overwrite(self._folder / name, text)
