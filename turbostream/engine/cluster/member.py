"""One worker as the dispatcher sees it: its actor, its state, and what it has in flight.

The dispatcher's thread writes; any thread reads. `answer` is called on Ray's threads.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from enum import StrEnum
from typing import Any

from turbostream.engine.cluster.actor import EngineState, Facts
from turbostream.engine.cluster.job import Job
from turbostream.stream.engine_api import WorkerStatus

log = logging.getLogger(__name__)

# An answer is late when it takes longer than LATE_S and than LATE_TIMES the usual time.
LATE_S = 0.5
LATE_TIMES = 10
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0
FAILURES_BEFORE_RESTART = 5

Answer = Callable[["Future[Any]"], object]


class State(StrEnum):
    """In the words of /status."""

    LOADING = "loading"
    READY = "ready"
    LATE = "late"  # does not answer in its usual time; gets work that nobody else takes
    RESTARTING = "restarting"
    FAILED = "failed"


class Member:
    """name: for logs and /status. create: makes an actor, wherever Ray has room for one."""

    def __init__(self, name: str, create: Callable[[], Any]) -> None:
        self.name = name
        self.state = State.LOADING
        self.message = ""
        self.facts: Facts | None = None
        self.engine: EngineState | None = None
        self.in_flight: dict[Job, float] = {}  # since when, awake s
        self.frames = 0
        self.restarts = 0
        self.failures = 0  # in a row
        self.open_at = math.inf  # awake s: when to try again to open it
        self._create = create
        self._actor: Any = None
        self._pause_s = FIRST_PAUSE_S
        self._usual_s: float | None = None  # of an answer

    @property
    def works(self) -> bool:
        return self.state in (State.READY, State.LATE)

    @property
    def depth(self) -> int:
        return self.engine.depth if self.engine is not None else 1

    @property
    def late_after_s(self) -> float:
        """How long an answer may take; unlimited before the first one, which loads kernels."""
        return math.inf if self._usual_s is None else max(LATE_S, LATE_TIMES * self._usual_s)

    @property
    def load(self) -> tuple[bool, float, int]:
        """The least of it gets the next submission."""
        return self.state is State.LATE, len(self.in_flight) / self.depth, self.frames

    def status(self) -> WorkerStatus:
        node = "" if self.facts is None else self.facts.node
        return WorkerStatus(
            self.name, node, str(self.state), self.message, len(self.in_flight), self.frames,
            self.restarts,
        )  # fmt: skip

    # -- the dispatcher's thread -----------------------------------------------------------------

    def open(self, answer: Answer) -> None:
        """Ask the actor to be open. The question outlives restarts of the actor."""
        self.open_at = math.inf
        if self._actor is None:
            self._actor = self._create()
        self._actor.opened.options(max_task_retries=-1).remote().future().add_done_callback(answer)

    def paint(self, job: Job, now: float, answer: Answer) -> None:
        """now: awake s."""
        self.in_flight[job] = now
        pictures: Any = self._actor.paint.remote(job.shots, job.sources, *job.pixels)
        pictures.future().add_done_callback(answer)

    def opened(self, facts: Facts) -> None:
        if self.facts is not None:
            self.restarts += 1
        self.facts, self.engine = facts, facts.state
        self.state, self.message, self.failures = State.READY, "", 0
        self._pause_s, self._usual_s = FIRST_PAUSE_S, None
        log.info("[ray] %s is ready on %s", self.name, facts.node)

    def stay(self, answer: Answer) -> None:
        """answer: called when the actor is lost, also while it has nothing to do."""
        self._actor.stay.remote().future().add_done_callback(answer)

    def painted(self, state: EngineState, pictures: Sequence[Any], took_s: float) -> None:
        self.engine, self.failures = state, 0
        self.frames += len(pictures)
        usual_s = took_s if self._usual_s is None else self._usual_s
        self._usual_s = usual_s + 0.1 * (took_s - usual_s)
        if self.state is State.LATE:
            self.state, self.message = State.READY, ""

    def failed_to_open(self, reason: str, now: float, actor_is_dead: bool) -> None:
        """Another attempt follows after a pause, with another actor if this one is dead."""
        self.state, self.message = State.FAILED, reason
        self.open_at = now + self._pause_s
        log.warning("[ray] %s: %s Trying again after %.0f s.", self.name, reason, self._pause_s)
        self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2)
        if actor_is_dead:
            self.kill(restart=False)
            self._actor = None

    def lost(self, reason: str) -> None:
        """It does not work for now; Ray restarts it."""
        self.state, self.message = State.RESTARTING, reason
        log.warning("[ray] %s: %s Ray restarts it.", self.name, reason)

    def kill(self, restart: bool) -> None:
        import ray

        if self._actor is not None:
            ray.kill(self._actor, no_restart=not restart)
