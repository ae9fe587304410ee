"""Gives each submission to the worker with the least to do, and to another if that one is lost.

All of it happens on one thread, which reads events from a queue: submissions, and the answers of
actors, which arrive on Ray's threads. A shot is the complete recipe of a frame, so a submission can
be painted twice, and the first answer counts: one that is late is tried on a second worker before
it is known whether the first is dead, stopped or busy.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from turbostream.engine.cluster.job import Job
from turbostream.engine.cluster.member import FAILURES_BEFORE_RESTART, Member, State
from turbostream.stream.awake import TICK_S, AwakeClock
from turbostream.stream.engine_api import EngineClosed, EngineError
from turbostream.stream.shot import Shot, ShotError, Source

log = logging.getLogger(__name__)

LOOK_S = min(0.1, TICK_S)  # how often the dispatcher looks for what is late
NEVER_S = 60.0  # for the limits below where ENGINE_TIMEOUT_S is 0


class WorkerLost(EngineError):
    """Every worker that was to paint these shots is lost."""


class Dispatcher:
    """`members` at work from `start` to `close`.

    first: set when one of them is open, or with an error when none can be opened. timeout_s: after
    which the program is ended if a submission is not done; both limits below stay under it.
    """

    def __init__(self, members: Sequence[Member], timeout_s: float) -> None:
        limit_s = timeout_s or NEVER_S
        self._restart_s = limit_s / 2  # a worker that does not answer for so long is restarted
        self._give_up_s = limit_s * 0.75
        self.members = tuple(members)
        self.first: Future[Member] = Future()
        self._awake = AwakeClock()
        self._events: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._jobs: dict[Job, None] = {}  # all that are not done, the oldest first
        self._waiting: list[Job] = []  # for a worker
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)

    # -- any thread ------------------------------------------------------------------------------

    def start(self) -> None:
        for member in self.members:
            self._events.put(partial(self._open, member))
        self._thread.start()

    def submit(
        self, shots: Sequence[Shot], sources: Sequence[Source], pixels: Sequence[Any]
    ) -> Job:
        job = Job(shots, sources, pixels, self._awake.now())
        self._events.put(partial(self._submitted, job))
        return job

    def close(self, timeout_s: float) -> None:
        """Fail what is not done, and end the workers."""
        self._events.put(self._close)
        self._thread.join(timeout_s)

    # -- the dispatcher's thread -----------------------------------------------------------------

    def _run(self) -> None:
        while not self._closing:
            try:
                event = self._events.get(timeout=LOOK_S)
            except queue.Empty:
                event = None
            self._awake.tick()
            try:
                if event is not None:
                    event()
                self._look(self._awake.now())
            except Exception:  # the thread outlives whatever Ray raises; jobs are given up in time
                log.exception("[ray] the dispatcher failed")

    def _submitted(self, job: Job) -> None:
        self._jobs[job] = None
        self._dispatch(job)

    def _dispatch(self, job: Job) -> None:
        found = [one for one in self.members if one.works and one not in job.running]
        others = [one for one in found if one not in job.tried]
        if not found:
            self._waiting.append(job)
            return
        member = min(others or found, key=lambda one: one.load)
        job.tried.append(member)
        job.running.add(member)
        answer = partial(self._answer, member, job)
        member.paint(job, self._awake.now(), answer)

    def _answer(self, member: Member, job: Job, answer: Future[Any]) -> None:
        """On one of Ray's threads."""
        self._events.put(partial(self._answered, member, job, answer))

    def _answered(self, member: Member, job: Job, answer: Future[Any]) -> None:
        now = self._awake.now()
        since = member.in_flight.pop(job, now)
        job.running.discard(member)
        error = answer.exception()
        if error is None:
            pictures, state = answer.result()
            member.painted(state, pictures, now - since)
            job.painted(pictures)
            self._jobs.pop(job, None)
            return
        cause = _cause(error)
        if isinstance(cause, ShotError):  # the shot's own fault, wherever it is painted
            self._fail(job, cause)
            return
        if _is_loss(error):
            self._lost(member, _sentence(error))
            cause = WorkerLost(f"{member.name} was lost while it painted: {_sentence(error)}")
        elif member.works:
            member.failures += 1
            if member.failures >= FAILURES_BEFORE_RESTART:
                self._restart(member, f"{member.failures} frames in a row failed ({cause}).")
        if job.running or job.pictures.done():
            return
        if job.may_be_tried:
            self._dispatch(job)
        else:
            self._fail(job, cause)

    def _fail(self, job: Job, error: BaseException) -> None:
        self._jobs.pop(job, None)
        job.failed(error)

    # -- workers that come and go ------------------------------------------------------------------

    def _open(self, member: Member) -> None:
        member.open(lambda answer: self._events.put(partial(self._opened, member, answer)))

    def _opened(self, member: Member, answer: Future[Any]) -> None:
        error = answer.exception()
        if error is None:
            member.opened(answer.result())
            member.stay(partial(self._left, member, member.restarts))
            if not self.first.done():
                self.first.set_result(member)
            waiting, self._waiting = self._waiting, []
            for job in waiting:
                self._dispatch(job)
            return
        cause = _cause(error)
        member.failed_to_open(_sentence(cause), self._awake.now(), actor_is_dead=cause is error)
        if not self.first.done() and all(one.state is State.FAILED for one in self.members):
            known = cause if isinstance(cause, EngineError) else None
            self.first.set_exception(
                known or WorkerLost(f"No worker of Ray could be opened: {_sentence(cause)}")
            )

    def _left(self, member: Member, restarts: int, answer: Future[Any]) -> None:
        """On one of Ray's threads. restarts: of the member when it was opened."""
        error = answer.exception()
        if error is not None:
            self._events.put(partial(self._absent, member, restarts, _sentence(error)))

    def _absent(self, member: Member, restarts: int, reason: str) -> None:
        if member.restarts == restarts:  # else it is back already
            self._lost(member, reason)

    def _lost(self, member: Member, reason: str) -> None:
        if member.works:
            member.lost(reason)
            self._open(member)

    def _restart(self, member: Member, reason: str) -> None:
        member.kill(restart=True)
        self._lost(member, reason)

    def _look(self, now: float) -> None:
        """Find what is late, and give up what is too late. now: awake s."""
        for member in self.members:
            if now >= member.open_at:
                self._open(member)
            if member.works and member.in_flight:
                self._look_at(member, now)
        for job in [one for one in self._jobs if now - one.since > self._give_up_s]:
            self._waiting = [one for one in self._waiting if one is not job]
            self._fail(
                job, WorkerLost(f"No worker of Ray has painted for {now - job.since:.0f} s.")
            )

    def _look_at(self, member: Member, now: float) -> None:
        job, since = next(iter(member.in_flight.items()))
        late_s = now - since
        if late_s > self._restart_s:
            self._restart(member, f"It has not answered for {late_s:.0f} s.")
            return
        if late_s <= member.late_after_s:
            return
        member.state, member.message = State.LATE, f"It has not answered for {late_s:.1f} s."
        for job in list(member.in_flight):
            others = [one for one in self.members if one.works and one not in job.tried]
            if others and job.may_be_tried and not job.pictures.done():
                self._dispatch(job)

    def _close(self) -> None:
        self._closing = True
        for job in self._jobs:
            job.failed(EngineClosed("The engine was closed."))
        for member in self.members:
            member.kill(restart=False)


def _cause(error: BaseException) -> BaseException:
    """What was raised in the worker, without the stack that Ray writes into its message."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, BaseException) else error


def _is_loss(error: BaseException) -> bool:
    """Whether the worker, not what it painted, is to blame."""
    from ray import exceptions

    return isinstance(
        error,
        exceptions.RayActorError
        | exceptions.WorkerCrashedError
        | exceptions.NodeDiedError
        | exceptions.OutOfMemoryError,
    )


def _sentence(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__).rstrip(".:") + "."
