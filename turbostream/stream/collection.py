"""The looks and the setlist of a server, in memory and in STATE_DIR; a change returns once written.

Both are in one file, so that a look is renamed there and in the setlist by one write.
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
from turbostream.stream.scene_checks import SceneError
from turbostream.stream.setlist import Setlist

log = logging.getLogger(__name__)

WRITE_S = 2.0

Content = tuple[Looks, Setlist]


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
        self._content: Content = Looks(), Setlist()
        self._owns: Callable[[], bool] = lambda: file is None
        self.changed: Callable[[], object] = lambda: None

    @property
    def content(self) -> Content:
        """Both, as they belong together."""
        return self._content

    @property
    def looks(self) -> Looks:
        return self._content[0]

    @property
    def setlist(self) -> Setlist:
        return self._content[1]

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
        self._change(lambda looks, setlist: (looks.put(look), setlist))

    def set_thumbnail(self, look: Look, thumbnail: bytes) -> None:
        """Give `look` its thumbnail, unless it has been changed or deleted."""

        def given(looks: Looks, setlist: Setlist) -> Content:
            if look not in looks.all:
                return looks, setlist
            return looks.put(replace(look, thumbnail=thumbnail)), setlist

        self._change(given)

    def rename(self, name: str, new: str) -> None:
        self._change(lambda looks, setlist: (looks.renamed(name, new), setlist.renamed(name, new)))

    def delete(self, name: str) -> None:
        def deleted(looks: Looks, setlist: Setlist) -> Content:
            left = looks.without(name)
            if name in setlist.looks:
                raise LookInUse(f"The setlist plays the look {name!r}; change the setlist first.")
            return left, setlist

        self._change(deleted)

    def order(self, names: list[object]) -> None:
        self._change(lambda looks, setlist: (looks.ordered(names), setlist))

    def put_setlist(self, setlist: Setlist) -> None:
        self._change(lambda looks, before: (looks, _playable(setlist, looks)))

    def add(self, looks: Looks, setlist: Setlist, must_be_kept: bool = True) -> int:
        """Add `looks`, in place of those of the same names, and replace the setlist unless
        `setlist` is empty; returns how many looks were replaced.

        must_be_kept: if false, a failed write is logged and the change holds in memory only.
        """
        replaced = 0

        def added(here: Looks, before: Setlist) -> Content:
            nonlocal replaced
            replaced = sum(name in here for name in looks.names)
            merged = here.put(*looks.all)
            return merged, _playable(setlist, merged) if setlist.entries else before

        self._change(added, must_be_kept)
        return replaced

    def _change(
        self, change: Callable[[Looks, Setlist], Content], must_be_kept: bool = True
    ) -> None:
        with self._lock:
            content = change(*self._content)
            if content == self._content:
                return
            if not self._owns():
                raise NotServing("This process does not serve the stream now; try again.")
            try:
                if self._file is not None:
                    looks_file.write(self._file, *content)
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
