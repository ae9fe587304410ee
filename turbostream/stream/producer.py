"""The generation thread: shots in, frames out, at the pace of TARGET_FPS.

It opens the engine on its own thread and is the only one that calls it. It knows the engine by
the engine API alone and the web not at all. While nobody watches it sleeps; when the engine raises it
tries the next frame, and after several failures in a row it opens a new engine, with growing
pauses.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass

from turbostream.stream.channel import Channel
from turbostream.stream.engine_api import (
    Engine,
    EngineUnavailable,
    EngineUnusable,
    OpenEngine,
    Picture,
    Progress,
    dropped_by,
)
from turbostream.stream.frame import Frame
from turbostream.stream.meter import Meter
from turbostream.stream.scene import Shot

log = logging.getLogger(__name__)

FAILURES_BEFORE_REBUILD = 5
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
LOADING, PAINTING, CLOSING = "loading", "painting one frame", "closing"
OVERDUE_S = 5.0  # frames that are wanted and do not come for this long: not healthy


@dataclass(frozen=True)
class State:
    """What the stream is doing, in the words of /status."""

    name: str = "starting"  # starting downloading loading compiling streaming resting failed
    message: str = "The program is starting."
    done_bytes: int | None = None
    total_bytes: int | None = None


@dataclass(frozen=True)
class _Flight:
    """A submission that has not landed yet."""

    number: int
    shot: Shot
    pictures: Future[list[Picture]]


class Producer:
    """`awake` is the clock by which the engine is late; `overdue` is asked by the same."""

    def __init__(
        self,
        channel: Channel,
        open_engine: OpenEngine,
        meter: Meter,
        target_fps: float,
        awake: Callable[[], float] | None = None,
    ) -> None:
        self.channel = channel
        self.meter = meter
        self.unusable: str | None = None  # why no engine can work, once that is known
        self._open_engine = open_engine
        self._awake = awake or time.monotonic
        self._period_s = 1.0 / target_fps
        self._lock = threading.Lock()
        self._state = State()
        self._engine: Engine | None = None  # asked for its facts, which change while it runs
        self._rendered = False
        self._wanted_since: float | None = None
        self._due_since: float | None = None  # awake s: the last frame, or since frames are wanted
        self._failures_in_row = 0
        self._kinds_logged: set[str] = set()
        self._flights: deque[_Flight] = deque()
        self._call: tuple[str, float] | None = None  # into the engine: what for, since when
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="generation", daemon=True)

    # -- any thread ----------------------------------------------------------------------------

    @property
    def state(self) -> State:
        with self._lock:
            return self._state

    @property
    def engine_facts(self) -> dict[str, object]:
        """The engine's fingerprint and choices; empty until it is open."""
        engine = self._engine
        if engine is None:
            return {}
        return {"fingerprint": engine.fingerprint, "choices": dict(engine.choices)}

    def dropped(self, prompt: str) -> str:
        """The end of `prompt` that the model does not read; empty until an engine is open."""
        return dropped_by(self._engine, prompt)

    def unhealthy(self) -> str | None:
        """One sentence on why frames do not come, or None when all is well."""
        with self._lock:
            state, rendered = self._state, self._rendered
            since = self._due_since
            waited = 0.0 if since is None else self._awake() - since
        if state.name == "failed" or not rendered:
            return state.message
        if waited > OVERDUE_S + 10 * self._period_s:
            return f"No frame has come for {waited:.0f} s."
        return None

    def overdue(self, now: float, frame_s: float, loading_s: float) -> str | None:
        """One sentence if a call into the engine is out longer than it may be (0: no limit)."""
        if self._thread.ident is not None and not self._thread.is_alive():
            ended = self._stopping.is_set() or self.unusable is not None
            return None if ended else "The generation thread is gone."
        call = self._call
        if call is None:
            return None
        what, since = call
        longest_s = loading_s if what == LOADING else frame_s
        if not longest_s or now - since <= longest_s:
            return None
        return f"The engine has been {what} for {now - since:.0f} s without a word."

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Ask the thread to end and wait; False if it is still busy after `timeout_s`."""
        self._stopping.set()
        self.channel.wake()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    # -- the generation thread -----------------------------------------------------------------

    def _set_state(self, state: State) -> None:
        with self._lock:
            self._state = state

    @contextmanager
    def _calling(self, what: str) -> Iterator[None]:
        """Around every call into the engine, for `overdue`."""
        self._call = what, self._awake()
        try:
            yield
        finally:
            self._call = None

    def _report(self, progress: Progress) -> None:
        self._call = LOADING, self._awake()
        self._set_state(
            State(progress.state, progress.message, progress.done_bytes, progress.total_bytes)
        )

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            try:
                with self._calling(LOADING):
                    engine = self._open_engine(self._report)
            except EngineUnusable as error:
                self.unusable = str(error)
                self._set_state(State("failed", str(error)))
                return
            except EngineUnavailable as error:
                self._note_unavailable(str(error), pause_s)
            except Exception as error:  # the producer's guard: whatever an engine raises
                self._note_failure("The model could not be loaded", error)
            else:
                with self._lock:
                    self._rendered = True
                self._engine = engine
                before = self.meter.frames
                self._generate(engine)
                if self.meter.frames > before:
                    pause_s = FIRST_PAUSE_S
            if self._stopping.wait(pause_s):
                return
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
            self._failures_in_row = 0

    def _generate(self, engine: Engine) -> None:
        """Frames until stopped, or until the engine has failed several times in a row."""
        log.info("[gen] starting loop...")
        due = time.monotonic()
        try:
            while not self._stopping.is_set():
                if not self._flights and not self.channel.wait_wanted(0):
                    self._rest()
                    due = time.monotonic()
                    continue
                now = time.monotonic()
                if now < due:
                    if self._flights and self._flights[0].pictures.done():
                        self._land(engine)
                    else:
                        self._pause(due - now)
                    continue
                # Catching up is no use for a live picture: a missed beat is skipped, but the
                # beat itself is kept, so the pace does not drift.
                missed = int((now - due) / self._period_s)
                due += (missed + 1) * self._period_s
                self._launch(engine)
                while len(self._flights) >= engine.depth:
                    self._land(engine)
                if self._failures_in_row >= FAILURES_BEFORE_REBUILD:
                    return
            while self._flights:
                self._land(engine)
        finally:
            self._flights.clear()
            self._close(engine)

    def _pause(self, seconds: float) -> None:
        """Until the next beat, or the landing of the oldest submission."""
        if self._flights:
            wait([self._flights[0].pictures], min(seconds, 0.05))
        else:
            self._stopping.wait(min(seconds, 1.0))

    def _rest(self) -> None:
        with self._lock:
            self._wanted_since = self._due_since = None
        self._set_state(State("resting", "Nobody watches; the next viewer wakes the stream."))
        while not self.channel.wait_wanted(60.0):
            pass
        with self._lock:
            self._wanted_since, self._due_since = time.monotonic(), self._awake()
        if not self._stopping.is_set():
            self._set_state(State("streaming", "Pictures are being painted."))

    def _close(self, engine: Engine) -> None:
        try:
            with self._calling(CLOSING):
                engine.close()
        except Exception as error:  # the producer's guard: an engine that failed may fail again
            self._note_failure("The model could not be closed", error)

    def _launch(self, engine: Engine) -> None:
        number, shot = self.channel.take_shot()
        try:
            with self._calling(PAINTING):
                pictures = engine.submit([shot])
        except Exception as error:  # the producer's guard: the stream outlives a frame
            pictures = Future()
            pictures.set_exception(error)
        self._flights.append(_Flight(number, shot, pictures))

    def _land(self, engine: Engine) -> None:
        """Wait for the oldest submission and publish it."""
        flight = self._flights.popleft()
        try:
            with self._calling(PAINTING):
                picture = flight.pictures.result()[0]
        except Exception as error:  # the producer's guard: the stream outlives a frame
            self._note_failure("A frame failed", error)
            return
        frame = Frame(
            number=flight.number,
            jpeg=picture.jpeg,
            shot=flight.shot,
            published=time.time(),
            stage_ms=picture.stage_ms,
            fingerprint=picture.fingerprint or engine.fingerprint,
        )
        self.channel.buffer.publish(frame)
        self._note_frame(frame)

    def _note_frame(self, frame: Frame) -> None:
        now = time.monotonic()
        self._failures_in_row = 0
        self.meter.frame(now, frame.stage_ms)
        with self._lock:
            since = self._wanted_since
            self._due_since = None if since is None else self._awake()
            if self._state.name != "streaming":
                self._state = State("streaming", "Pictures are being painted.")
        change = self.channel.first_shown_by(frame.number)
        if change is not None:
            self.meter.prompt_to_picture(now - max(change.at, since or change.at))

    def _note_unavailable(self, message: str, pause_s: float) -> None:
        self.meter.failure()
        if message not in self._kinds_logged:
            self._kinds_logged.add(message)
            log.warning("[init] %s Trying again after %.0f s.", message, pause_s)
        self._set_state(State("failed", f"{message} Trying again."))

    def _note_failure(self, what: str, error: Exception) -> None:
        self.meter.failure()
        self._failures_in_row += 1
        kind = type(error).__name__
        if kind not in self._kinds_logged:
            self._kinds_logged.add(kind)
            log.error("[gen] %s (%s: %s); trying again.", what, kind, error, exc_info=error)
        if what != "A frame failed" or self._failures_in_row >= FAILURES_BEFORE_REBUILD:
            self._set_state(State("failed", f"{what} ({kind}: {error}); trying again."))
