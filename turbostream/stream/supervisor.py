"""The generation thread: it opens the engine, lets the scheduler run, and opens the engine again.

The engine is opened, called and closed on this one thread. When it fails several times in a row, or
cannot be opened, another one is opened, with growing pauses. It knows the engine by its API alone,
and nothing of the web.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import asdict

from turbostream.stream.capabilities import Capabilities
from turbostream.stream.channel import Channel
from turbostream.stream.engine_api import (
    Engine,
    EngineUnavailable,
    EngineUnusable,
    OpenEngine,
    Picture,
    WorkerStatus,
    capabilities_of,
    dropped_by,
    workers_of,
)
from turbostream.stream.even_fade import EvenFades
from turbostream.stream.follower import Follower
from turbostream.stream.health import Call, Health
from turbostream.stream.scheduled_channel import ScheduledChannel
from turbostream.stream.scheduler import Scheduler
from turbostream.stream.shortage import Shortage
from turbostream.stream.shot import Shot
from turbostream.stream.state import State, Status

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
MISSING_S = 5.0  # unhealthy: frames that are wanted do not come for this long and MISSING_BEATS
MISSING_BEATS = 10


class Supervisor:
    """`channels` painted by what `open_engine` opens.

    awake: the clock by which frames and calls into the engine are late.
    """

    def __init__(
        self,
        channels: Sequence[ScheduledChannel],
        open_engine: OpenEngine,
        awake: Callable[[], float] = time.monotonic,
    ) -> None:
        self.unusable: str | None = None  # why no engine can work, once that is known
        self._open_engine = open_engine
        self._awake = awake
        self._health = Health(awake)
        self._scheduler = Scheduler(channels, self._health, awake)
        self._even_fades = {one.channel: EvenFades(one.channel, self.paint_all) for one in channels}
        self._engine: Engine | None = None  # asked for its facts, which change while it runs
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="generation", daemon=True)

    # -- any thread ----------------------------------------------------------------------------

    @property
    def status(self) -> Status:
        return self._health.status

    @property
    def engine_facts(self) -> dict[str, object]:
        """The engine's fingerprint and choices, the model's own guidance (None: it uses none),
        whether it takes negative words and, if there are any, workers; empty until it is open."""
        engine = self._engine
        if engine is None:
            return {}
        facts: dict[str, object] = {
            "fingerprint": engine.fingerprint,
            "choices": dict(engine.choices),
        }
        if (capabilities := capabilities_of(engine)) is not None:
            facts["guidance"] = capabilities.guidance
            facts["negative"] = capabilities.negative
        workers = [asdict(one) for one in self.workers]
        return {**facts, "workers": workers} if workers else facts

    @property
    def workers(self) -> Sequence[WorkerStatus]:
        """Those of the engine; none until it is open, or where it has none."""
        return workers_of(self._engine)

    @property
    def shortage(self) -> Shortage:
        return self._scheduler.shortage

    def dropped(self, prompt: str) -> str:
        """The end of `prompt` that the model does not read; empty until an engine is open."""
        return dropped_by(self._engine, prompt)

    @property
    def capabilities(self) -> Capabilities | None:
        """What the engine can paint; None until it is open, or if it does not say."""
        return capabilities_of(self._engine)

    def check(self, shot: Shot) -> None:
        """Raises ShotError with one sentence if the engine is known not to paint `shot`."""
        capabilities = self.capabilities
        if capabilities is not None:
            capabilities.check(shot)

    def paint(self, shot: Shot) -> Future[Picture]:
        """The picture of `shot`, painted between two frames; `SideJobs.add` lists the errors."""
        return self._scheduler.jobs.add([shot], lambda pictures: pictures[0])

    def paint_all(self, shots: Sequence[Shot]) -> Future[list[Picture]]:
        """The pictures of one or more `shots`, painted one at a time between frames;
        `SideJobs.add` lists the errors."""
        return self._scheduler.jobs.add(shots, lambda pictures: pictures)

    def unhealthy(self) -> str | None:
        """One sentence on why frames do not come, or None when all is well."""
        status = self.status
        if status.state is State.FAILED or self._engine is None:
            return status.message
        now = self._awake()
        for scheduled in self._scheduler.channels:
            late_s = scheduled.late_s(now)
            if late_s > MISSING_S + MISSING_BEATS * scheduled.period_s:
                return f"No frame has come for {late_s:.0f} s."
        return None

    def overdue(self, now: float, frame_s: float, loading_s: float) -> str | None:
        """One sentence if a call into the engine takes longer than it may (0: no limit), or if the
        thread has ended by itself. now: awake s."""
        if self._thread.ident is not None and not self._thread.is_alive():
            ended = self._stopping.is_set() or self.unusable is not None
            return None if ended else "The generation thread has ended."
        return self._health.overdue(now, frame_s, loading_s)

    def start(self) -> None:
        self._thread.start()
        for fades in self._even_fades.values():
            fades.start()

    def add(self, scheduled: ScheduledChannel) -> None:
        """Paint a further channel. This and `remove` are called on one thread, that of `start`."""
        if not isinstance(scheduled.channel, Follower):  # its leader's are spaced
            fades = EvenFades(scheduled.channel, self.paint_all)
            self._even_fades[scheduled.channel] = fades
            if self._thread.ident is not None:
                fades.start()
        self._scheduler.add(scheduled)

    def remove(self, channel: Channel) -> None:
        """Paint `channel` no more."""
        self._scheduler.remove(channel)
        fades = self._even_fades.pop(channel, None)
        if fades is not None:
            fades.stop()  # not joined: the probe that it may wait for can take a while

    def stop(self, timeout_s: float = 2.0) -> bool:
        """Ask the thread to end and wait; False if it is still busy after `timeout_s`."""
        self._stopping.set()
        for fades in self._even_fades.values():
            fades.stop()
        self._scheduler.stop()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        self._scheduler.jobs.close()  # the thread does, unless it is still busy
        for fades in self._even_fades.values():
            fades.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    # -- the generation thread -----------------------------------------------------------------

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            engine = self._open(pause_s)
            if self.unusable is not None:
                return
            if engine is not None and self._paint(engine):
                pause_s = FIRST_PAUSE_S
            if self._stopping.wait(pause_s):
                return
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
            self._health.forget_failures()

    def _open(self, pause_s: float) -> Engine | None:
        """None if it cannot be opened now, or not at all: then `unusable` says why."""
        try:
            with self._health.calling(Call.LOADING):
                self._engine = self._open_engine(self._health.report)
            return self._engine
        except EngineUnusable as error:
            self.unusable = str(error)
            self._health.status = Status(State.FAILED, self.unusable)
        except EngineUnavailable as error:
            self._count_failure()
            self._health.engine_unavailable(str(error), pause_s)
        except Exception as error:  # the supervisor's guard: whatever an engine raises
            self._count_failure()
            self._health.engine_failed("The model could not be loaded", error)
        return None

    def _paint(self, engine: Engine) -> bool:
        """Frames until stopped or until a new engine is needed; True if there was one frame."""
        log.info("[gen] starting loop...")
        try:
            return self._scheduler.run(engine)
        finally:
            try:
                with self._health.calling(Call.CLOSING):
                    engine.close()
            except Exception as error:  # the supervisor's guard: a broken engine may fail again
                self._count_failure()
                self._health.engine_failed("The model could not be closed", error)

    def _count_failure(self) -> None:
        for scheduled in self._scheduler.channels:
            scheduled.meter.failure()
