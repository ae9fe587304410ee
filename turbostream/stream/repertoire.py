"""The looks, their recalls and the setlist over the life of a process: what SETLIST names, what an
earlier process left, and what is left to the next one.

SETLIST applies only if its file is not the one that applied last, as with INITIAL_PROMPT, so that a
restart keeps later changes. Runs on the gevent thread before it serves; `left` also runs on the
scene file's thread, and on gevent's during a handover.
"""

from __future__ import annotations

import hashlib
import logging
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turbostream.settings import SettingError, Settings
from turbostream.stream import looks_file, looks_json, state_folder
from turbostream.stream.channel import Channel
from turbostream.stream.collection import Collection
from turbostream.stream.looks import Looks
from turbostream.stream.looks_json import Content
from turbostream.stream.quantiser import Quantiser
from turbostream.stream.scene_checks import SceneError
from turbostream.stream.setlist_player import SetlistPlayer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StartSetlist:
    """The content of SETLIST's file; digest: SHA-256 of its bytes, hexadecimal."""

    content: Content
    digest: str


def check_setting(settings: Settings) -> StartSetlist | None:
    """The content of SETLIST's file; raises SettingError with one sentence that names it."""
    file = settings.setlist_file
    if file is None:
        return None
    try:
        content = _content(file)
        found = looks_json.from_json(state_folder.parse(content))
        kept = _kept(settings)
        for name in found.setlist.looks:
            if name not in found.looks and name not in kept:
                raise SceneError(
                    f"it names the look {name!r}, which is neither in it nor in STATE_DIR"
                )
        if not found.setlist.entries:
            raise SceneError("it holds no setlist with entries")
    except OSError as error:
        why = error.strerror
    except state_folder.UntrustedFile as error:
        why = f"it {error}"
    except SceneError as error:
        why = str(error).removesuffix(".")
    else:
        return StartSetlist(found, hashlib.sha256(content).hexdigest())
    raise SettingError(f"SETLIST {str(file)[:200]} cannot be used ({why}); give another file.")


@dataclass(frozen=True)
class ChannelRepertoire:
    """What a channel other than the default one has of it: the same looks, its own recalls, and no
    setlist."""

    collection: Collection
    quantiser: Quantiser
    player: None = None


class Repertoire:
    """Before `start`, no change is accepted and the setlist does not play."""

    def __init__(self, settings: Settings, channel: Channel) -> None:
        self._settings = settings
        self.collection = Collection(
            looks_file.file_for(settings.state_folder, settings.server_port)
        )
        self.player = SetlistPlayer(channel, self.collection)
        self.quantiser = Quantiser(channel)
        self._digest = ""  # of the file that SETLIST named when it was last put in force

    def left(self) -> dict[str, Any] | None:
        """The position of the setlist, for the next process; None without a setlist. Waits for a
        write of the looks that is in progress."""
        self.collection.wait_for_write()
        if self.player.status() is None:
            return None
        return {**self.player.as_json(), "from": self._digest}

    def start(self, owns: Callable[[], bool], found: object) -> None:
        """Resume from `found`, which another process left, and accept changes while `owns` (called
        on any thread) says that this process serves."""
        self.collection.load()
        self.collection.start(owns)
        self.player.load()
        resumed = self._resume(found)
        try:
            given = check_setting(self._settings)
        except SettingError as error:  # the file has changed since `main` checked it
            log.warning("[setlist] %s", error)
            given = None
        if given is not None and not (resumed and self._digest == given.digest):
            self._play(given)
        self.player.start(owns)
        self.quantiser.start()

    def stop(self, timeout_s: float) -> None:
        """Waits at most `timeout_s` for each thread; a recall that waits for its beat is put in
        force."""
        self.player.stop(timeout_s)
        self.quantiser.stop(timeout_s)

    def _resume(self, found: object) -> bool:
        if not isinstance(found, dict):
            return False
        self._digest = str(found.get("from", ""))
        try:
            self.player.resume(found)
        except SceneError as error:
            log.warning("[setlist] it begins at its first entry: %s", error)
            return False
        return self.player.as_json()["left_s"] not in (None, 0)

    def _play(self, given: StartSetlist) -> None:
        try:
            self.collection.add(given.content, must_be_kept=False)
            self._digest = given.digest
            self.player.load()
            self.player.play()
        except SceneError as error:
            log.warning("[setlist] SETLIST is not used: %s", error)


def _content(file: Path) -> bytes:
    if not stat.S_ISREG(file.stat().st_mode):
        raise SceneError("it is not a regular file")
    with file.open("rb") as opened:
        content = opened.read(looks_json.MOST_BYTES + 1)
    if len(content) > looks_json.MOST_BYTES:
        raise SceneError(f"it is larger than {looks_json.MOST_BYTES // 2**20} MB")
    return content


def _kept(settings: Settings) -> Looks:
    file = looks_file.file_for(settings.state_folder, settings.server_port)
    try:
        return Looks() if file is None else looks_file.read(file).looks
    except SceneError:
        return Looks()  # `looks_file.load` logs it, once
