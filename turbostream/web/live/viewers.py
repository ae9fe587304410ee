"""Who watches: each viewer, how far it is behind, and the registry of all of them.

The gevent thread only.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

from turbostream.stream.channel import Channel
from turbostream.stream.frame import Frame
from turbostream.stream.state import State, Status
from turbostream.web.live.multipart import Image, part
from turbostream.web.live.pace import Pace
from turbostream.web.live.placeholder import placeholder_jpeg
from turbostream.web.live.wakeup import Wakeup
from turbostream.web.live.window import Window

FIRST_FRAME_S = 0.3  # how long a new viewer waits for a frame before a placeholder is sent
ENDED_KEPT = 1024  # ids of ended streams that are remembered


class Viewer:
    """One stream; the `Source` of its schedule. With `acknowledges` it says what it has shown, and
    with `with_recipe` its pictures carry their recipe."""

    def __init__(
        self,
        channel: Channel,
        status: Callable[[], Status],
        wakeup: Wakeup,
        stopping: Callable[[], bool],
        acknowledges: bool = False,
        with_recipe: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """clock: the sender's, since both compare times of the same viewer."""
        self.id = secrets.token_urlsafe(12)
        self.channel = channel
        self.with_recipe = with_recipe
        self.now = clock
        self.open_at = clock()
        # A newcomer begins with the scene in force; a frame from before a rest may show another.
        self.newer_than = channel.last_change.after
        self._status = status
        self._wakeup = wakeup
        self._stopping = stopping
        self._got_frame = False
        self._window = Window() if acknowledges else None
        self.pace: Pace | None = None  # set by the sender, where the kernel has what it needs

    @property
    def padded(self) -> bool:
        return self._window is None and self.pace is not None

    def revision(self) -> int:
        return self.channel.revision

    def newest(self) -> Frame | None:
        return self.channel.buffer.newest()

    def placeholder(self) -> bytes | None:
        status = self._status()
        if status.state in (State.STREAMING, State.RESTING) and (
            self._got_frame or self.now() - self.open_at < FIRST_FRAME_S
        ):
            return None
        return _placeholder_part(status.state, status.message, self.revision())

    def wait(self, timeout_s: float) -> None:
        self._wakeup.wait(timeout_s if self._got_frame else min(timeout_s, FIRST_FRAME_S))

    def open(self) -> bool:
        return not (self._stopping() or self.channel.removed)

    def has_room(self) -> bool:
        if self._window is not None:
            return self._window.has_room(self.now())
        return self.pace is None or self.pace.room(self.now())

    def sent(self, number: int) -> None:
        self._got_frame = True
        if self._window is not None:
            self._window.sent(number, self.now())

    def acknowledge(self, number: int) -> None:
        """The viewer has shown frame `number`."""
        if self._window is None:
            self._window = Window()  # it was not expected to acknowledge, but it does
        self._window.acknowledge(number, self.now())
        self._wakeup.send_here()


@lru_cache(maxsize=8)
def _placeholder_part(state: State, message: str, revision: int) -> bytes:
    return part(Image(0, placeholder_jpeg(state, message), 0.0, revision))


class Viewers:
    """The registry, with its limit. It remembers the ids of the last ENDED_KEPT ended streams."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._viewers: dict[str, Viewer] = {}
        self._ended: dict[str, None] = {}  # the oldest first

    def __len__(self) -> int:
        return len(self._viewers)

    def of(self, channel: Channel) -> int:
        """How many watch `channel`."""
        return sum(viewer.channel is channel for viewer in self._viewers.values())

    @property
    def full(self) -> bool:
        return len(self._viewers) >= self.most

    def find(self, viewer_id: str) -> Viewer | None:
        return self._viewers.get(viewer_id)

    def ended(self, viewer_id: str) -> bool:
        """True if a stream with this id has ended, unless ENDED_KEPT others have ended since."""
        return viewer_id in self._ended

    @contextmanager
    def enter(self, viewer: Viewer) -> Iterator[None]:
        """Count `viewer` while this is entered. Enter in the response's generator, never in the
        view: one that is never iterated (HEAD) would be counted forever."""
        self._viewers[viewer.id] = viewer
        try:
            with viewer.channel.watched():
                yield
        finally:
            del self._viewers[viewer.id]
            self._ended[viewer.id] = None
            if len(self._ended) > ENDED_KEPT:
                del self._ended[next(iter(self._ended))]
