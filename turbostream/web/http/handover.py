"""Hands the public port from the process that serves to the one that replaces it.

The listening socket itself is passed (SCM_RIGHTS over a unix socket in STATE_DIR), so nobody who
connects meanwhile is refused. The old process serves until the new one confirms that it accepts; a
new process that dies half-way changes nothing. The scene is passed with the socket.

The gevent thread only. A scene is any JSON object here.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
from gevent import socket as gsocket
from gevent.server import StreamServer

log = logging.getLogger(__name__)

NAME = "handover.sock"
ANSWER_S = 10.0
MAX_SCENE_BYTES = 8 * 1024 * 1024  # of 16 channels; see stream/scene_file.py
TAKEN = b"taken"
_UCRED = struct.Struct("iII")  # pid, uid, gid: unix(7)


@contextmanager
def _short_path(folder: Path) -> Iterator[str]:
    """A path of the folder that is short enough for a unix socket (108 bytes with the file)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        short = f"/proc/self/fd/{descriptor}"
        yield short if os.path.isdir(short) else str(folder)
    finally:
        os.close(descriptor)


def _connect(folder: Path) -> Any:
    """A connection to the process that serves from `folder`; raises OSError if there is none."""
    connection = gsocket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(ANSWER_S)
    try:
        with _short_path(folder) as short:
            connection.connect(f"{short}/{NAME}")
        if not _is_trusted(connection):
            raise PermissionError(f"{NAME} in {folder} belongs to another user")
    except OSError:
        connection.close()
        raise
    return connection


def _is_trusted(connection: Any) -> bool:
    """True if the process at the other end runs as this user or as root: the process that has the
    listening socket gets the viewers."""
    if not hasattr(socket, "SO_PEERCRED"):  # macOS: not a deployment target
        return True
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return _UCRED.unpack(credentials)[1] in (os.geteuid(), 0)


def is_served(folder: Path) -> bool:
    """True if a process serves from this STATE_DIR and would hand its port over."""
    try:
        _connect(folder).close()
    except OSError:
        return False
    return True


def take(folder: Path, serve: Callable[[Any, Mapping[str, Any]], None]) -> bool:
    """Take the port; `serve(listener, scene)` must accept on it before it returns.

    False if no process offers it. The old process ends its streams once this returns.
    """
    try:
        connection = _connect(folder)
    except OSError:
        return False
    with connection:
        connection.sendall(b"take")
        try:
            message, descriptors, _, _ = socket.recv_fds(connection, MAX_SCENE_BYTES, 1)
            if not descriptors:
                return False
            listener = gsocket.socket(fileno=descriptors[0])
            try:
                scene = _whole_scene(connection, message)
            except BaseException:
                listener.close()
                raise
        except OSError:
            return False
        serve(listener, scene)
        # If the old process has just died, the port is ours all the same.
        try:
            connection.sendall(TAKEN)
        except OSError:
            log.info("[flask] the previous process has ended.")
    return True


def _whole_scene(connection: Any, message: bytes) -> Any:
    """The JSON object that begins with `message`; a socket delivers a long one in pieces, and
    nothing but the JSON itself marks its end. Raises OSError if the rest does not arrive."""
    while True:
        try:
            return json.loads(message or b"{}")
        except ValueError:
            piece = connection.recv(MAX_SCENE_BYTES) if len(message) < MAX_SCENE_BYTES else b""
        if not piece:
            raise ConnectionError("the scene that was handed over is not complete")
        message += piece


class Offer:
    """Waits for the next process and sends it the listening socket; then `given` is true."""

    def __init__(
        self,
        folder: Path,
        listener: Callable[[], int],
        scene: Callable[[], Mapping[str, Any]],
        aborted: Callable[[], None] = lambda: None,
    ) -> None:
        """listener: the descriptor; aborted: called when the next process ended half-way. It may
        have replaced what is in `folder`, this offer's socket too."""
        self.given = False
        self.giving = False  # while the scene and the port are being passed
        self._listener = listener
        self._scene = scene
        self._aborted = aborted
        offered = gsocket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        own = f"{NAME}.{os.getpid()}"
        with _short_path(folder) as short:
            offered.bind(f"{short}/{own}")
            os.chmod(f"{short}/{own}", 0o600)
            offered.listen(4)
            # Atomically, over the socket of a dead process.
            os.replace(f"{short}/{own}", f"{short}/{NAME}")
        self._server = StreamServer(offered, self._answer)
        self._server.start()

    def _answer(self, connection: Any, _address: object) -> None:
        connection.settimeout(ANSWER_S)
        asked = False
        try:
            if connection.recv(16) != b"take" or not _is_trusted(connection):
                return  # `is_served` only asks
            self.giving = asked = True
            scene = json.dumps(dict(self._scene())).encode()
            sent = socket.send_fds(connection, [scene], [self._listener()])
            connection.sendall(scene[sent:])
            self.given = connection.recv(16) == TAKEN
        except OSError as error:
            log.info("[flask] a handover was aborted (%s).", error)
        finally:
            self.giving = False
            connection.close()
        if self.given:
            log.info("[flask] the port was handed over; this process ends.")
        elif asked:
            log.info("[flask] the next process did not take the port; this one continues to serve.")
            self._aborted()

    def close(self) -> None:
        """The socket's file stays: the next process replaces it."""
        self._server.stop(timeout=0)
        gevent.sleep(0)
