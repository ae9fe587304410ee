"""The looks, the setlist and the mappings of a server, in memory and in STATE_DIR; a change returns
once written.

All are in one file, so that a look is renamed everywhere by one write.
Any thread except gevent's: a change waits for the disk. Knows no channel and no HTTP.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from turbostream.stream import looks_file
from turbostream.stream.looks import Look, Looks
from turbostream.stream.looks_file import NotKept
from turbostream.stream.looks_json import Content
from turbostream.stream.mappings import Mappings
from turbostream.stream.scene_checks import SceneError
from turbostream.stream.setlist import Setlist

log = logging.getLogger(__name__)

WRITE_S = 2.0


class LookInUse(SceneError):
    """The setlist plays the look that is to be deleted."""


class NotServing(Exception):
    """Another process owns the looks now; the message is one sentence."""


class Collection:
    """Without a file, in memory only. `changed` is called after each change, on the thread that
    made it."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._content = Content()
        self._owns: Callable[[], bool] = lambda: file is None
        self.changed: Callable[[], object] = lambda: None

    @property
    def content(self) -> Content:
        """Everything, as it belongs together."""
        return self._content

    @property
    def looks(self) -> Looks:
        return self._content.looks

    @property
    def setlist(self) -> Setlist:
        return self._content.setlist

    @property
    def mappings(self) -> Mappings:
        return self._content.mappings

    def load(self) -> None:
        """Read what an earlier process left, if there is a file."""
        if self._file is not None:
            with self._lock:
                self._content = looks_file.load(self._file)

    def start(self, owns: Callable[[], bool]) -> None:
        """Accept changes while `owns` (any thread) says that this process serves."""
        self._owns = owns

    def wait_for_write(self) -> None:
        """Return once no write is in progress, or after WRITE_S, since the disk may hang. No write
        begins afterwards if `owns` returns false by then."""
        if self._lock.acquire(timeout=WRITE_S):
            self._lock.release()

    # -- changes: each raises SceneError, NotKept or NotServing and then changes nothing -------

    def save(self, look: Look) -> None:
        self._change(lambda it: it._replace(looks=it.looks.put(look)))

    def set_thumbnail(self, look: Look, thumbnail: bytes) -> None:
        """Give `look` its thumbnail, unless it has been changed or deleted."""

        def given(before: Content) -> Content:
            if look not in before.looks.all:
                return before
            return before._replace(looks=before.looks.put(replace(look, thumbnail=thumbnail)))

        self._change(given)

    def rename(self, name: str, new: str) -> None:
        def renamed(before: Content) -> Content:
            return Content(
                before.looks.renamed(name, new),
                before.setlist.renamed(name, new),
                before.mappings.renamed(name, new),
            )

        self._change(renamed)

    def delete(self, name: str) -> None:
        def deleted(before: Content) -> Content:
            left = before.looks.without(name)
            if name in before.setlist.looks:
                raise LookInUse(f"The setlist plays the look {name!r}; change the setlist first.")
            return before._replace(looks=left)

        self._change(deleted)

    def order(self, names: list[object]) -> None:
        self._change(lambda it: it._replace(looks=it.looks.ordered(names)))

    def put_setlist(self, setlist: Setlist) -> None:
        self._change(lambda it: it._replace(setlist=_playable(setlist, it.looks)))

    def put_mappings(self, mappings: Mappings) -> None:
        self._change(lambda it: it._replace(mappings=mappings))

    def add(self, given: Content, must_be_kept: bool = True) -> int:
        """Add the looks of `given`, in place of those of the same names, and replace the setlist
        and the mappings unless those of `given` are empty; returns how many looks were replaced.

        must_be_kept: if false, a failed write is logged and the change holds in memory only.
        """
        replaced = 0

        def added(before: Content) -> Content:
            nonlocal replaced
            replaced = sum(name in before.looks for name in given.looks.names)
            merged = before.looks.put(*given.looks.all)
            return Content(
                merged,
                _playable(given.setlist, merged) if given.setlist.entries else before.setlist,
                given.mappings or before.mappings,
            )

        self._change(added, must_be_kept)
        return replaced

    def _change(self, change: Callable[[Content], Content], must_be_kept: bool = True) -> None:
        with self._lock:
            content = change(self._content)
            if content == self._content:
                return
            if not self._owns():
                raise NotServing("This process does not serve the stream now; try again.")
            try:
                if self._file is not None:
                    looks_file.write(self._file, content)
            except NotKept as error:
                if must_be_kept:
                    raise
                log.warning("[looks] %s", error)
            self._content = content
        self.changed()


def _playable(setlist: Setlist, looks: Looks) -> Setlist:
    """`setlist`; raises SceneError if one of its looks does not exist."""
    for name in setlist.looks:
        if name not in looks:
            raise SceneError(f"The setlist names the look {name!r}, which does not exist.")
    return setlist
