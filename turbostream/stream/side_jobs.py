"""Pictures that are wanted beside the channels' frames: previews, thumbnails, the probes of a fade.

Any thread asks for them; the generation thread takes their shots between two frames, one at a time:
a batch of a size that was not used before would stop the stream for a second, while its graph is
captured. Each job has its turn, so that one of many shots does not hold up one of a single shot. A
job that fails concerns only who asked for it. Knows no channel, and of the engine its API alone.
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
    """One sentence: as many shots wait as may wait."""


class Job:
    """Shots that one caller wants. pictures: of the first shots, as far as they are painted."""

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
    """The jobs that wait, and the one that is painted; no second one is painted meanwhile.

    wake: called when there is a new job, on the thread of whoever asks for it. why_closed: one
    sentence on why no engine is open.
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
        """`result` of the pictures of `shots`, which are at least one.

        The future fails with EngineUnavailable while no engine is open, with EngineClosed if the
        engine is closed first, and with whatever the engine raises. A job that was cancelled is not
        painted. Raises TooManyJobs if MOST_WAITING shots would not suffice.
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
        """An engine is open: take jobs."""
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
        job = part.job
        with self._lock:
            if not self._finishes(job):
                return
            job.pictures.append(picture)
            if job.left:
                self._waiting.append(job)  # behind the others
                return
        job.future.set_result(job.result(job.pictures))

    def failed(self, part: Part, error: Exception) -> None:
        """A shot that failed fails its whole job."""
        with self._lock:
            if not self._finishes(part.job):
                return
        part.job.future.set_exception(error)

    # -- under the lock ------------------------------------------------------------------------

    def _finishes(self, job: Job) -> bool:
        """False if `close` has failed the job while it was painted."""
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
    """False if the job was cancelled; from now on it cannot be."""
    return job.future.running() or job.future.set_running_or_notify_cancel()
