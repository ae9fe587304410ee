"""Plays the setlist: recalls its looks on the channel when they are due.

A dedicated thread waits for the next entry; stepping and pausing run on the caller's thread. Knows
no HTTP and no file.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from turbostream.stream.channel import Channel
from turbostream.stream.collection import Collection
from turbostream.stream.setlist import Playback, Setlist, check_position

log = logging.getLogger(__name__)

GIVING_S = 0.2  # interval of checks whether a handover was aborted


class SetlistPlayer:
    """Plays the setlist of `collection` on `channel`; any thread."""

    def __init__(self, channel: Channel, collection: Collection) -> None:
        self._channel = channel
        self._collection = collection
        self._lock = threading.Lock()
        self._playback = Playback()
        self._setlist = Setlist()  # the one that `_playback` refers to
        self._missing: set[str] = set()  # names of missing looks that were logged
        self._owns: Callable[[], bool] = lambda: True
        self.changed: Callable[[], object] = lambda: None  # called after each change, any thread
        self._woken = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="setlist", daemon=True)
        collection.changed = self._follow

    # -- for the web ---------------------------------------------------------------------------

    def as_json(self) -> dict[str, Any]:
        """{"position", "playing", "left_s"}; left_s: seconds, None before the first entry."""
        with self._lock:
            return self._playback.as_json(self._now())

    def status(self) -> dict[str, Any] | None:
        """`as_json` and the name of the look; None without a setlist."""
        with self._lock:
            if not self._setlist.entries:
                return None
            look = self._setlist.entries[self._playback.position].look
            return {**self._playback.as_json(self._now()), "look": look}

    @property
    def playing(self) -> bool:
        return self._playback.playing

    def play(self) -> None:
        """Start, or end a pause; raises NoFurtherEntry if the setlist is empty."""
        with self._lock:
            self._playback, recalls = self._playback.started(self._setlist, self._now())
            if recalls:
                self._recall()
        self._say()

    def pause(self) -> None:
        """Keep the time left of the entry; its look stays on screen."""
        with self._lock:
            self._playback = self._playback.paused(self._now())
        self._say()

    def jump(self, position: object) -> None:
        """Show the entry at `position` now; raises SceneError."""
        with self._lock:
            checked = check_position(position, self._setlist)
            self._playback = self._playback.jumped(self._setlist, checked, self._now())
            self._recall()
        self._say()

    def step(self, by: int) -> None:
        """Show the next entry (1) or the previous one (-1) now; raises NoFurtherEntry."""
        with self._lock:
            self._playback = self._playback.stepped(self._setlist, by, self._now())
            self._recall()
        self._say()

    # -- start and end of the process ----------------------------------------------------------

    def load(self) -> None:
        """Take the setlist of the collection, at its beginning and paused."""
        with self._lock:
            self._setlist, self._playback = self._collection.setlist, Playback()

    def resume(self, found: object) -> None:
        """Continue from `found`, the `as_json` of another process; raises SceneError."""
        with self._lock:
            playback = Playback.from_json(found, self._now())
            self._playback = playback.within(self._setlist, self._setlist)

    def start(self, owns: Callable[[], bool]) -> None:
        """Start the thread; it plays while `owns` (called on any thread) says that this process
        serves."""
        self._owns = owns
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        self._stopping = True
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    # -- the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._advance()
            except Exception:  # an installation plays for weeks: the next entry may work
                log.exception("[setlist] an entry could not be shown; the next one follows.")
            with self._lock:
                wait_s = self._playback.left(self._now()) if self._playback.playing else None
            if wait_s is not None and not self._owns():
                wait_s = max(wait_s, GIVING_S)
            self._woken.wait(wait_s)
            self._woken.clear()

    def _advance(self) -> None:
        with self._lock:
            if not self._owns():
                return
            before = self._playback
            self._playback = before.advanced(self._setlist, self._now())
            if self._playback is before:
                return
            if self._playback.playing:
                self._recall()
            else:
                log.info("[setlist] played to its end.")
        self._channel.touch()
        self.changed()

    def _recall(self) -> None:
        """Under the lock. If the look is missing, the picture does not change."""
        entry = self._setlist.entries[self._playback.position]
        looks = self._collection.looks
        if entry.look in looks:
            self._channel.recall(looks.get(entry.look).scene, entry.fade_s)
        elif entry.look not in self._missing:
            self._missing.add(entry.look)
            log.warning("[setlist] there is no look %r; it is skipped.", entry.look)

    def _follow(self) -> None:
        """The looks or the setlist have changed."""
        with self._lock:
            before, self._setlist = self._setlist, self._collection.setlist
            self._playback = self._playback.within(self._setlist, before)
        self._say()

    def _say(self) -> None:
        self._channel.touch()
        self._woken.set()
        self.changed()

    def _now(self) -> float:
        return self._channel.snapshot()[1]
