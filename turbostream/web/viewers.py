"""Everybody who watches: how many, how far behind, and when to wake them.

The gevent thread only, save for `Bell.ring`, which the producer's thread calls.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gevent.event import Event
from gevent.hub import get_hub

from turbostream.stream.channel import Channel
from turbostream.stream.frame import Frame
from turbostream.stream.producer import State
from turbostream.web.multipart import Image, part
from turbostream.web.placeholder import placeholder_jpeg

FIRST_FRAME_S = 0.3  # how long a new viewer waits for a frame before a placeholder shows
PROMPT_SHOWN_S = 0.25  # a frame that is shown within this was not held up on the way
LARGEST_WINDOW = 60


class Bell:
    """Wakes greenlets from another thread; `threading.Condition` would block the whole loop."""

    def __init__(self) -> None:
        self._event = Event()
        self._async = get_hub().loop.async_()
        self._async.start(self.ring_here)

    def ring(self) -> None:
        """From any thread."""
        self._async.send()

    def ring_here(self) -> None:
        """From the gevent thread."""
        rung, self._event = self._event, Event()
        rung.set()

    def wait(self, timeout_s: float) -> None:
        self._event.wait(timeout_s)

    def close(self) -> None:
        self._async.close()


class Viewer:
    """One stream; the `Source` of `multipart.parts`.

    A viewer that reports what it has shown gets at most `window` frames ahead of that. The
    window follows the path: it grows while frames are shown promptly and shrinks when they are
    not, because a tunnel's buffers would take megabytes without a word.
    """

    def __init__(
        self,
        channel: Channel,
        state: Callable[[], State],
        bell: Bell,
        stopping: Callable[[], bool],
    ) -> None:
        self.id = secrets.token_urlsafe(12)
        self._channel = channel
        self._state = state
        self._bell = bell
        self._stopping = stopping
        self._since = time.monotonic()
        self._got_frame = False
        self._reports = False
        self._window = 3
        self._on_the_way: deque[tuple[int, float]] = deque()

    def now(self) -> float:
        return time.monotonic()

    def newest(self) -> Frame | None:
        return self._channel.current()

    def placeholder(self) -> bytes | None:
        state = self._state()
        if state.name in ("streaming", "resting") and (
            self._got_frame or self.now() - self._since < FIRST_FRAME_S
        ):
            return None
        return part(Image(0, placeholder_jpeg(state.name, state.message), 0.0))

    def wait(self, timeout_s: float) -> None:
        if not self._got_frame:
            timeout_s = min(timeout_s, FIRST_FRAME_S)
        self._bell.wait(timeout_s)

    def open(self) -> bool:
        return not self._stopping()

    def has_room(self) -> bool:
        return not self._reports or len(self._on_the_way) < self._window

    def sent(self, number: int) -> None:
        self._got_frame = True
        self._on_the_way.append((number, self.now()))
        if not self._reports and len(self._on_the_way) > LARGEST_WINDOW:
            self._on_the_way.popleft()

    def shown(self, number: int) -> None:
        """The viewer has painted frame `number`; all before it are no longer on the way."""
        self._reports = True
        took_s = None
        while self._on_the_way and self._on_the_way[0][0] <= number:
            took_s = self.now() - self._on_the_way.popleft()[1]
        if took_s is None:
            return
        if took_s <= PROMPT_SHOWN_S:
            self._window = min(LARGEST_WINDOW, self._window + 1)
        else:
            self._window = max(2, self._window // 2)
        self._bell.ring_here()


class Viewers:
    """The registry, with its limit."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._viewers: dict[str, Viewer] = {}

    def __len__(self) -> int:
        return len(self._viewers)

    @property
    def full(self) -> bool:
        return len(self._viewers) >= self.most

    def find(self, viewer_id: str) -> Viewer | None:
        return self._viewers.get(viewer_id)

    @contextmanager
    def enter(self, viewer: Viewer, channel: Channel) -> Iterator[None]:
        """Enter inside the response's generator, never in the view: a generator that is never
        iterated (HEAD) would leave a ghost."""
        self._viewers[viewer.id] = viewer
        try:
            with channel.watched():
                yield
        finally:
            del self._viewers[viewer.id]
