"""Everybody who watches: how many, how far behind, and when to wake them.

The gevent thread only, save for `Bell.ring`, which the generation thread calls.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache

from gevent.event import Event
from gevent.hub import get_hub

from turbostream.stream.channel import Channel
from turbostream.stream.frame import Frame
from turbostream.stream.state import State, Status
from turbostream.web.multipart import Image, part
from turbostream.web.pace import Pace
from turbostream.web.placeholder import placeholder_jpeg

FIRST_FRAME_S = 0.3  # how long a new viewer waits for a frame before a placeholder shows

# A reader that reports what it has shown gets so many frames ahead as it shows in the time that
# its path needs anyway and QUEUE_S more.
QUEUE_S = 0.25
RATE_OVER_S = 1.0
SMALLEST_WINDOW, LARGEST_WINDOW = 2, 120
LONGEST_PROBE_S = 8.0
PROBE_S = 1.0  # without a report for so long one more frame is sent: reports get lost


class Bell:
    """Wakes greenlets from another thread; `threading.Condition` would block the whole loop."""

    def __init__(self) -> None:
        self.count = 0  # how often it rang
        self._event = Event()
        self._async = get_hub().loop.async_()
        self._async.start(self.ring_here)

    def ring(self, frame: Frame | None = None) -> None:
        """From any thread; as a listener of a buffer it receives the frame."""
        self._async.send()

    def ring_here(self) -> None:
        """From the gevent thread."""
        self.count += 1
        rung, self._event = self._event, Event()
        rung.set()

    def wait(self, timeout_s: float) -> None:
        self._event.wait(timeout_s)

    def close(self) -> None:
        self._async.close()


class Window:
    """How many frames may be on the way to a reader that reports what it has shown.

    A tunnel's buffers take megabytes without a word, so only the reader's own word says how far it
    is behind. The window is the rate at which it shows times the shortest time that a frame took,
    plus QUEUE_S: enough to keep a long path full, too little to let a queue grow on a narrow one.
    Without a word for PROBE_S one more frame goes out, then after twice that, and so on up to
    LONGEST_PROBE_S, so that a lost report ends nothing.
    """

    def __init__(self) -> None:
        self._on_the_way: deque[tuple[int, float]] = deque()
        self._shown: deque[tuple[float, int]] = deque()  # (when, how many at once)
        self._shortest_s = float("inf")
        self._probe_s = PROBE_S
        self._quiet_since = 0.0
        self.size = SMALLEST_WINDOW

    def has_room(self, now: float) -> bool:
        if len(self._on_the_way) < self.size:
            return True
        return now - self._quiet_since >= self._probe_s

    def sent(self, number: int, now: float) -> None:
        if len(self._on_the_way) >= self.size:
            self._probe_s = min(LONGEST_PROBE_S, self._probe_s * 2)
            self._quiet_since = now
        elif not self._on_the_way:
            self._quiet_since = now
        self._on_the_way.append((number, now))

    def shown(self, number: int, now: float) -> None:
        """Frame `number` is on the screen; all before it are no longer on the way."""
        count, sent_at = 0, now
        while self._on_the_way and self._on_the_way[0][0] <= number:
            _, sent_at = self._on_the_way.popleft()
            count += 1
        if not count:
            return
        self._quiet_since, self._probe_s = now, PROBE_S
        self._shortest_s = min(self._shortest_s, now - sent_at)
        self._shown.append((now, count))
        while self._shown[0][0] < now - RATE_OVER_S:
            self._shown.popleft()
        since = now - self._shown[0][0]
        if since > 0:
            rate = sum(count for _, count in self._shown) - self._shown[0][1]
            ahead = rate / since * (self._shortest_s + QUEUE_S)
            self.size = int(min(LARGEST_WINDOW, max(SMALLEST_WINDOW, ahead)))


class Viewer:
    """One stream; the `Source` of its feed. With `reports` it says what it has shown."""

    def __init__(
        self,
        channel: Channel,
        status: Callable[[], Status],
        bell: Bell,
        stopping: Callable[[], bool],
        reports: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """clock: the sender's, since both compare times with the same viewer's."""
        self.id = secrets.token_urlsafe(12)
        self.channel = channel
        self.now = clock
        self.open_at = clock()
        # A newcomer begins with the scene in force; a frame from before a rest may show another.
        self.newer_than = channel.last_change.after
        self._status = status
        self._bell = bell
        self._stopping = stopping
        self._got_frame = False
        self._window = Window() if reports else None
        self.pace: Pace | None = None  # set by who sends, where the kernel tells what it needs

    def newest(self) -> Frame | None:
        return self.channel.buffer.newest()

    def placeholder(self) -> bytes | None:
        status = self._status()
        if status.state in (State.STREAMING, State.RESTING) and (
            self._got_frame or self.now() - self.open_at < FIRST_FRAME_S
        ):
            return None
        return _placeholder_part(status.state, status.message)

    def wait(self, timeout_s: float) -> None:
        self._bell.wait(timeout_s if self._got_frame else min(timeout_s, FIRST_FRAME_S))

    def open(self) -> bool:
        return not self._stopping()

    def has_room(self) -> bool:
        if self._window is not None:
            return self._window.has_room(self.now())
        return self.pace is None or self.pace.room(self.now())

    def sent(self, number: int) -> None:
        self._got_frame = True
        if self._window is not None:
            self._window.sent(number, self.now())

    def shown(self, number: int) -> None:
        """The viewer has painted frame `number`."""
        if self._window is None:
            self._window = Window()  # it was not expected to report, but it does
        self._window.shown(number, self.now())
        self._bell.ring_here()


@lru_cache(maxsize=8)
def _placeholder_part(state: State, message: str) -> bytes:
    return part(Image(0, placeholder_jpeg(state, message), 0.0))


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
