"""Pictures painted beside the channels' frames: previews, thumbnails, the probes of a fade.

Any thread adds jobs; the generation thread takes their shots between two frames, one at a time: a
batch size that was not used before would stop the stream for a second while its graph is captured.
Jobs take turns by the shot (round robin), so that a long one does not delay a short one. A failure
affects its own job only. Knows no channel, and the engine by its API alone.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from turbostream.stream.engine_api import EngineClosed, EngineUnavailable, Picture
from turbostream.stream.shot import Shot

MOST_WAITING = 32  # shots of all jobs that are not painted yet

T = TypeVar("T")


class TooManyJobs(Exception):
    """The queue is full; the message is one sentence."""


class Job:
    """Shots of one caller. pictures: those painted so far, in order. result: makes the value of
    `future` from all pictures."""

    def __init__(self, shots: Sequence[Shot], result: Callable[[list[Picture]], object]) -> None:
        self.shots = tuple(shots)
        self.pictures: list[Picture] = []
        self.result = result
        self.future: Future[Any] = Future()

    @property
    def left(self) -> int:
        return len(self.shots) - len(self.pictures)


@dataclass(frozen=True)
class Part:
    """The next shot of a job."""

    job: Job
    shot: Shot


class SideJobs:
    """The waiting jobs, and the one being painted, of which there is at most one.

    wake: called on the caller's thread when a job is added. why_closed: returns one sentence on why
    no engine is open.
    """

    def __init__(self, wake: Callable[[], object], why_closed: Callable[[], str]) -> None:
        self._wake = wake
        self._why_closed = why_closed
        self._lock = threading.Lock()
        self._open = False
        self._waiting: deque[Job] = deque()
        self._painting: Job | None = None

    # -- any thread ----------------------------------------------------------------------------

    def add(self, shots: Sequence[Shot], result: Callable[[list[Picture]], T]) -> Future[T]:
        """A future of `result(pictures)`, with the pictures of `shots` in their order.

        It fails with EngineUnavailable while no engine is open, with EngineClosed if the engine is
        closed first, and with whatever the engine raises. It can be cancelled until the first shot
        is painted. Raises TooManyJobs if more than MOST_WAITING shots would wait, and ValueError
        without shots.
        """
        if not shots:
            raise ValueError("A job needs at least one shot.")
        job = Job(shots, result)
        with self._lock:
            is_open = self._open
            if is_open:
                self._drop_cancelled()
                if self._shots_waiting() + len(job.shots) > MOST_WAITING:
                    raise TooManyJobs(
                        f"At most {MOST_WAITING} pictures may wait beside the stream; try again in "
                        "a moment."
                    )
                self._waiting.append(job)
        if is_open:
            self._wake()
        else:
            job.future.set_exception(EngineUnavailable(f"No engine is open: {self._why_closed()}"))
        return job.future

    def close(self) -> None:
        """Fail all jobs, and those that are added before `open`."""
        with self._lock:
            self._open = False
            failed = [job for job in self._waiting if _begins(job)]
            if self._painting is not None:
                failed.append(self._painting)
            self._waiting.clear()
            self._painting = None
        for job in failed:
            job.future.set_exception(
                EngineClosed("The engine was closed before the picture was painted.")
            )

    # -- the generation thread -----------------------------------------------------------------

    def open(self) -> None:
        """Accept jobs, since an engine is open."""
        with self._lock:
            self._open = True

    @property
    def ready(self) -> bool:
        """Whether a job waits and none is painted. Without the lock: asked before every frame."""
        return self._painting is None and bool(self._waiting)

    def take(self) -> Part | None:
        """The next shot of the next job; None if every job was cancelled. `painted` or `failed`
        must follow."""
        with self._lock:
            while self._waiting:
                job = self._waiting.popleft()
                if _begins(job):
                    self._painting = job
                    return Part(job, job.shots[len(job.pictures)])
        return None

    def painted(self, part: Part, picture: Picture) -> None:
        """Complete the job's future, or let the job wait for its next shot, behind the others."""
        job = part.job
        with self._lock:
            if not self._finishes(job):
                return
            job.pictures.append(picture)
            if job.left:
                self._waiting.append(job)
                return
        job.future.set_result(job.result(job.pictures))

    def failed(self, part: Part, error: Exception) -> None:
        """Fail the whole job of a shot that failed."""
        with self._lock:
            if not self._finishes(part.job):
                return
        part.job.future.set_exception(error)

    # -- under the lock ------------------------------------------------------------------------

    def _finishes(self, job: Job) -> bool:
        """False if `close` failed the job while it was being painted."""
        if self._painting is not job:
            return False
        self._painting = None
        return True

    def _drop_cancelled(self) -> None:
        self._waiting = deque(job for job in self._waiting if not job.future.cancelled())

    def _shots_waiting(self) -> int:
        painting = [] if self._painting is None else [self._painting]
        return sum(job.left for job in (*painting, *self._waiting))


def _begins(job: Job) -> bool:
    """False if the job was cancelled; otherwise it can no longer be."""
    return job.future.running() or job.future.set_running_or_notify_cancel()
