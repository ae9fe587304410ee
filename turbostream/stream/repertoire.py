"""The looks, the setlist and its player over the life of a process: what SETLIST names, what an
earlier process left, and what the next one finds.

The setting counts when its file is another than before, as INITIAL_PROMPT does: what was changed
since is not lost at a restart. The gevent thread, before it serves, and the scene file's.
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
from turbostream.stream.scene_checks import SceneError
from turbostream.stream.setlist import Setlist
from turbostream.stream.setlist_player import SetlistPlayer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StartSetlist:
    """What SETLIST names; digest: of its bytes."""

    looks: Looks
    setlist: Setlist
    digest: str


def check_setting(settings: Settings) -> StartSetlist | None:
    """The content of SETLIST's file; raises SettingError with one sentence that names it."""
    file = settings.setlist_file
    if file is None:
        return None
    try:
        content = _content(file)
        looks, setlist = looks_json.from_json(state_folder.parse(content))
        kept = _kept(settings)
        for name in setlist.looks:
            if name not in looks and name not in kept:
                raise SceneError(
                    f"it names the look {name!r}, which is neither in it nor in STATE_DIR"
                )
        if not setlist.entries:
            raise SceneError("it holds no setlist with entries")
    except OSError as error:
        why = error.strerror
    except state_folder.UntrustedFile as error:
        why = f"it {error}"
    except SceneError as error:
        why = str(error).removesuffix(".")
    else:
        return StartSetlist(looks, setlist, hashlib.sha256(content).hexdigest())
    raise SettingError(f"SETLIST {str(file)[:200]} cannot be used ({why}); give another file.")


class Repertoire:
    """`start` must be called for changes to be accepted and the setlist to play."""

    def __init__(self, settings: Settings, channel: Channel) -> None:
        self._settings = settings
        self.collection = Collection(
            looks_file.file_for(settings.state_folder, settings.server_port)
        )
        self.player = SetlistPlayer(channel, self.collection)
        self._digest = ""  # of the file that SETLIST named when it was last put in force

    def left(self) -> dict[str, Any] | None:
        """How far the setlist has come, for the next process; waits for a change of the looks that
        is being written."""
        self.collection.wait_for_write()
        if self.player.status() is None:
            return None
        return {**self.player.as_json(), "from": self._digest}

    def start(self, owns: Callable[[], bool], found: object) -> None:
        """Go on where another process was that left `found`, while `owns` (any thread) says that
        this process serves."""
        self.collection.load()
        self.collection.start(owns)
        self.player.load()
        resumed = self._resume(found)
        try:
            given = check_setting(self._settings)
        except SettingError as error:  # it was all right when the program started
            log.warning("[setlist] %s", error)
            given = None
        if given is not None and not (resumed and self._digest == given.digest):
            self._play(given)
        self.player.start(owns)

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
            self.collection.add(given.looks, given.setlist, must_be_kept=False)
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
        return Looks() if file is None else looks_file.read(file)[0]
    except SceneError:
        return Looks()  # `load` says so once
