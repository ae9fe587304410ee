"""Keeps the scenes in force in STATE_DIR, so that a program that was killed resumes where it was.

There is one file per SERVER_PORT, since servers may share a STATE_DIR. A dedicated thread writes
it, at most once a second, when the scene has changed, while frames show it moving and while the
setlist plays; the generation thread and the web only set an event.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from turbostream.settings import Settings
from turbostream.stream import kept_channels, resume, state_folder
from turbostream.stream.channel import Channel
from turbostream.stream.channels import Channels
from turbostream.stream.repertoire import Repertoire
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import SceneError
from turbostream.stream.state_folder import UntrustedFile

log = logging.getLogger(__name__)

WRITE_EVERY_S = 1.0
MOST_BYTES = 8 * 1024 * 1024  # a fade between blends of the longest prompts takes 256 KB
SETLIST, CHANNELS = "setlist", "channels"  # the fields beside those of the scene


class SceneFile:
    """Keeps the scene of `channel` in `file`; without a file nothing is written.

    initial: the scene that this process's settings give. repertoire: the position of its setlist is
    kept in the same file, so that it always matches the scene. channels: their scenes are, too.
    """

    def __init__(
        self,
        file: Path | None,
        channel: Channel,
        initial: Scene,
        repertoire: Repertoire | None = None,
        channels: Channels | None = None,
    ) -> None:
        self._file = file
        self._repertoire, self._channels = repertoire, channels
        self._channel = channel
        self._initial = initial
        self._found_setlist: object = None  # the setlist position that an earlier process left
        self._owns: Callable[[], bool] = lambda: True
        self._written: dict[str, Any] | None = None
        self._failing = False
        self._stopping = threading.Event()
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scene file", daemon=True)

    def left(self) -> dict[str, Any]:
        """The scene and the setlist position to hand to the next process, as JSON. Puts a recall
        that waits for its beat in force, and waits for a write of the looks that is in progress."""
        if self._repertoire is not None:
            self._repertoire.quantiser.recall_now()
        for live in self._channels or ():
            live.quantiser.recall_now()
        return self._left()

    def _left(self) -> dict[str, Any]:
        setlist = None if self._repertoire is None else self._repertoire.left()
        change, now = self._channel.snapshot()
        left = resume.left(change.scene, self._initial, now)
        if setlist is not None:
            left[SETLIST] = setlist
        if self._channels is not None and (others := kept_channels.left(self._channels)):
            left[CHANNELS] = others
        return left

    def hand_on(self, found: object) -> None:
        """Resume the scene that another process handed over; raises SceneError."""
        found, others = self._parts(found)
        self._channel.resume(lambda now: resume.resumed(found, self._initial, now, restart=False))
        if self._channels is not None:
            kept_channels.resume_all(self._channels, others, restart=False)

    def restore(self) -> None:
        """Resume the kept scene, if there is one; logs one line if it cannot be used."""
        if self._file is None:
            return
        try:
            found, others = self._parts(state_folder.read_json(self._file, MOST_BYTES))
            if self._channels is not None:
                kept_channels.resume_all(self._channels, others, restart=True)
            change = self._channel.resume(
                lambda now: resume.resumed(found, self._initial, now, restart=True)
            )
        except (FileNotFoundError, NotADirectoryError):
            return
        except SceneError as error:
            log.warning("[scene] %s is not used: %s", self._file, error)
        except UntrustedFile as error:
            log.warning("[scene] %s is not used: it %s.", self._file, error)
        except OSError as error:
            log.warning("[scene] %s is not used (%s).", self._file, error.strerror)
        else:
            if change.scene.prompt != self._initial.prompt:
                log.info(
                    "[scene] going on with %r, as before; another INITIAL_PROMPT replaces it.",
                    change.scene.prompt,
                )

    def start(self, owns: Callable[[], bool]) -> None:
        """Start to write, while `owns` (called on any thread) says that this process serves."""
        if self._repertoire is not None:
            self._repertoire.start(owns, self._found_setlist)
        if self._file is None:
            return
        state_folder.remove_unfinished(self._file)
        self._owns = owns
        if self._repertoire is not None:
            self._repertoire.player.changed = self._wanted.set
        self._watch(self._channel)
        if self._channels is not None:
            self._channels.listen(self._wanted.set)
            self._channels.visit(lambda live: self._watch(live.channel))
        self._thread.start()

    def _watch(self, channel: Channel) -> None:
        channel.listen(self._wanted.set)
        channel.buffer.listen(lambda frame: self._wanted.set())

    def stop(self, timeout_s: float) -> None:
        """Write what is pending; waits at most `timeout_s` for each thread: the disk may hang."""
        if self._repertoire is not None:
            self._repertoire.stop(timeout_s)
        self._stopping.set()
        self._wanted.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            plays = self._repertoire is not None and self._repertoire.player.playing
            self._wanted.wait(WRITE_EVERY_S if plays else None)
            self._wanted.clear()
            self._write()
            self._stopping.wait(WRITE_EVERY_S)
        self._write()

    def _parts(self, found: object) -> tuple[object, object]:
        """(the scene, the other channels); the setlist is kept for `start`."""
        if not isinstance(found, dict):
            return found, None
        self._found_setlist = found.get(SETLIST)
        scene = {name: found[name] for name in found if name not in (SETLIST, CHANNELS)}
        return scene, found.get(CHANNELS)

    def _write(self) -> None:
        found = self._left()
        if self._written is not None and _moving(found) == _moving(self._written):
            return
        if not self._owns():
            return
        assert self._file is not None
        same = self._written is not None and _lasting(found) == _lasting(self._written)
        try:
            state_folder.write(self._file, json.dumps(found) + "\n", sync=not same)
        except OSError as error:
            if not self._failing:
                log.warning(
                    "[scene] %s cannot be written (%s): a restart would begin with older words.",
                    self._file,
                    error.strerror,
                )
            self._failing = True
        else:
            self._failing = False
            self._written = found


def _moving(left: dict[str, Any]) -> dict[str, Any]:
    """`left` without the beat if nothing that is shown depends on it."""
    if CHANNELS in left:
        left = {**left, CHANNELS: _each(_moving, left[CHANNELS])}
    return left if "modulators" in left else {**left, "beat": None}


def _lasting(left: dict[str, Any]) -> dict[str, Any]:
    """`left` without the values that advance by themselves; only a change of the rest is synced to
    disk."""
    setlist = {**(left.get(SETLIST) or {}), "left_s": None}
    modulators = [{**modulator, "elapsed_s": None} for modulator in left.get("modulators", [])]
    advancing = dict.fromkeys(("phase", "walkers", "fades", "beat"))
    others = _each(_lasting, left.get(CHANNELS, []))
    return {**left, **advancing, "modulators": modulators, SETLIST: setlist, CHANNELS: others}


def _each(
    part: Callable[[dict[str, Any]], dict[str, Any]], others: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """`part` of the scene of each of the other channels."""
    return [{**other, "scene": part(other["scene"])} for other in others]


def file_for(folder: Path, port: int) -> Path | None:
    """The file of the server on `port`; None for port 0, which differs at each start."""
    return folder / f"scene-{port}.json" if port else None


def file_of(settings: Settings) -> Path | None:
    """The file of the server with these settings; None if it keeps no scene."""
    if not settings.keep_scene:
        return None
    return file_for(settings.state_folder, settings.server_port)
