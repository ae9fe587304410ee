"""When and where this process is reachable: at once, or after the previous process has given way.

With HANDOVER=take and another process serving from the same STATE_DIR, this process stands by on a
free port of this machine, paints its first picture there, and only then takes the public port. Two
small files inform the start script: `standby` and `serving`, each "PID PORT FOLDER".

The gevent thread only.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gevent

from turbostream.stream import state_folder
from turbostream.stream.scene_checks import SceneError
from turbostream.stream.scene_file import SceneFile
from turbostream.web.context import AppContext
from turbostream.web.http import handover
from turbostream.web.http.limits import Limits, connections_possible
from turbostream.web.http.listener import WHY_NOT_LISTENING
from turbostream.web.http.server import Server
from turbostream.web.live.off_loop import later

log = logging.getLogger(__name__)

MARKER_BYTES = 512  # padded with spaces, so that a full disk has room for the next process's text
TRANSIENT = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
RETRY_S = 1.0  # between attempts to write to STATE_DIR


class PublicPort:
    """The server's address over its whole life."""

    def __init__(
        self,
        app: Callable[..., Any],
        context: AppContext,
        scene_file: SceneFile,
        unhealthy: Callable[[], str | None],
        on_serving: Callable[[], object] = lambda: None,
    ) -> None:
        """app: the WSGI application; unhealthy: one sentence while there is no picture.
        on_serving: called once, on a thread of its own, when the public port is this process's."""
        self.problem: str | None = None  # why the port is unavailable, in one sentence
        settings = context.settings
        self._app, self._settings, self._scene_file = app, settings, scene_file
        self._unhealthy, self._on_serving = unhealthy, on_serving
        self._folder = settings.state_folder
        self._slots = context.slots
        self._limits = Limits.of(settings, connections_possible(settings.max_connections))
        self._hands_over = settings.handover != "no"
        self._offer: handover.Offer | None = None
        self._standby: Any = None  # the greenlet that waits for a picture
        self._offering: Any = None  # the greenlet that waits for STATE_DIR to be writable
        self._warned = False
        self._server: Server | None = None

    @property
    def closed(self) -> bool:
        """True if there is nothing left to serve: handed over, or the port is unavailable."""
        return self.problem is not None or (self._offer is not None and self._offer.given)

    def open(self) -> bool:
        """Be reachable, publicly or standing by; False, with `problem` set, if that fails."""
        if self._hands_over:
            if problem := self._unwritable():
                self.problem = problem
                return False
            takes = self._settings.handover == "take"
            if takes and handover.is_served(self._folder):
                self._stand_by()
                return True
        return self._open_publicly()

    def close(self, timeout_s: float) -> None:
        """End the connections within `timeout_s`."""
        for greenlet in (self._standby, self._offering):
            if greenlet is not None:
                greenlet.kill()
        if self._offer is not None:
            self._offer.close()
        if self._server is not None:
            self._server.stop(timeout_s)

    # -- becoming reachable --------------------------------------------------------------------

    def _make_server(self, host: str, port: int) -> Server:
        return Server(self._app, host, port, self._limits, self._slots)

    def _stand_by(self) -> None:
        self._server = self._make_server("127.0.0.1", 0)
        host, port = self._server.start()
        self._try("the start script cannot follow the start", self._write_marker, "standby", port)
        log.info("[flask] standing by on %s:%d until a picture is painted.", host, port)
        self._standby = gevent.spawn(self._take_when_healthy)
        self._standby.link_exception(self._note_failure)

    def _open_publicly(self) -> bool:
        settings = self._settings
        server = self._make_server(settings.server_host, settings.server_port)
        try:
            server.start()
        except (OSError, UnicodeError, TypeError) as error:  # also from a malformed host name
            self.problem = WHY_NOT_LISTENING.why(error, settings.server_host, settings.server_port)
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
            if error.errno in TRANSIENT:
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
            log.info("[flask] the previous process has ended; taking its port.")
            self._open_publicly()

    def _note_failure(self, greenlet: Any) -> None:
        self.problem = f"The port could not be taken over ({greenlet.exception})."

    def _serve_taken(self, listener: Any, scene: Mapping[str, Any]) -> None:
        try:
            self._scene_file.hand_on(scene)
        except SceneError as error:
            log.info("[flask] the previous process's scene was not taken over: %s", error)
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
        self._scene_file.start(self._is_serving)
        later(self._on_serving)

    # -- offering the port to the next process -------------------------------------------------

    def _offer_now_or_later(self, port: int) -> None:
        if not self._try_offer(port):
            self._offering = gevent.spawn(self._offer_later, port)

    def _offer_later(self, port: int) -> None:
        while not self._try_offer(port):
            gevent.sleep(RETRY_S)
        log.info("[flask] STATE_DIR can be written again.")

    def _try_offer(self, port: int) -> bool:
        """Write which process serves and offer the port to the next one; False while the disk
        accepts neither, which is no reason to stop serving."""
        missing = "the next start cannot take over from this process until that is fixed"
        offered = self._try(missing, self._make_offer)
        return self._try(missing, self._write_marker, "serving", port) and offered

    def _make_offer(self) -> None:
        assert self._server is not None
        if self._offer is None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._offer = handover.Offer(
                self._folder, self._server.fileno, self._scene_file.left, self._offer_again
            )

    def _offer_again(self) -> None:
        """The process that was taking over ended half-way: restore the marker and the socket in
        STATE_DIR, which it may have replaced."""
        assert self._server is not None
        assert self._offer is not None
        self._offer.close()
        self._offer = None
        self._offer_now_or_later(self._server.address[1])

    def _is_serving(self) -> bool:
        """False once the scene is being handed to the next process, which keeps it from then."""
        return self._offer is None or not (self._offer.giving or self._offer.given)

    # -- files in STATE_DIR --------------------------------------------------------------------

    def _try(self, missing: str, write: Callable[..., None], *arguments: object) -> bool:
        try:
            write(*arguments)
        except (OSError, state_folder.UntrustedFile) as error:
            if not self._warned:
                log.warning("[flask] %s cannot be written (%s): %s.", self._folder, error, missing)
                self._warned = True
            return False
        return True

    def _write_marker(self, name: str, port: int) -> None:
        """Write which process this is; raises OSError and leaves the old file."""
        text = f"{os.getpid()} {port} {Path.cwd()}\n"
        try:
            state_folder.write(self._folder / name, text.ljust(MARKER_BYTES))
        except OSError:
            # A full disk has no room for a new file, but the old one can be overwritten: the
            # process that wrote it has ended.
            state_folder.overwrite(self._folder / name, text)
