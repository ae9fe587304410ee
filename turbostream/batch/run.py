"""Paint what is missing, at the engine's full batch, with progress on a screen.

Runs on the caller's thread. Knows nothing of how a picture is stored or recognised.
"""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from itertools import groupby, islice
from pathlib import Path
from typing import TextIO

from turbostream.batch.folder import Folder
from turbostream.batch.lock import explained, locked
from turbostream.batch.prompts import Job
from turbostream.batch.recipe import Pipeline
from turbostream.batch.screen import Screen, summary
from turbostream.stream.engine_api import Engine, EngineClosed, Picture, batch_key, dropped_by

log = logging.getLogger(__name__)


@contextmanager
def busy(state_folder: Path) -> Iterator[None]:
    """Keeps the guard of a rented instance from taking it for idle."""
    mark = state_folder / "busy" / str(os.getpid())
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        log.warning(
            "[batch] %s cannot be written (%s): a guard may take this instance for idle.",
            mark,
            error.strerror,
        )
    try:
        yield
    finally:
        with suppress(OSError):
            mark.unlink()


class Batch:
    """The pictures in `out` as `pipeline` paints them, with progress on `screen`."""

    def __init__(self, out: Path, screen: TextIO, pipeline: Pipeline) -> None:
        self._out, self._screen = out, Screen(screen)
        self.note = self._screen.note
        self._folder = Folder(out, pipeline, self.note)
        self._painted = self._failed = 0
        self._all = 0

    def paint(
        self, jobs: Sequence[Job], open_engine: Callable[[], Engine], price: float | None
    ) -> int:
        """Paint what is missing; 0, or 1 if pictures failed. The last line is the summary.

        Raises BatchError if the folder cannot be used or the disk is full.
        """
        with locked(self._out):
            with explained(self._out):
                plan = self._folder.take_up(jobs)
            if plan.kept:
                self.note(f"{len(plan.kept)} of {len(jobs)} pictures are here already.")
            self._all = len(plan.missing)
            began = time.monotonic()
            if plan.missing:
                engine = open_engine()
                began = time.monotonic()
                self._screen.begin(0)
                try:
                    self._run(engine, plan.missing)
                finally:
                    engine.close()
            took = time.monotonic() - began
        failed = f", {self._failed} FAILED (run again to try them)" if self._failed else ""
        self.note(f"{summary(self._painted, took, price)}{failed}.")
        return 1 if self._failed else 0

    def _run(self, engine: Engine, jobs: Sequence[Job]) -> None:
        in_flight: deque[tuple[list[Job], Future[list[Picture]]]] = deque()
        for some in batches(jobs, engine.max_batch):
            in_flight.append((some, _submit(engine, some)))
            while len(in_flight) >= engine.depth:
                self._finish(engine, *in_flight.popleft())
        while in_flight:
            self._finish(engine, *in_flight.popleft())

    def _finish(self, engine: Engine, jobs: list[Job], pictures: Future[list[Picture]]) -> None:
        try:
            done = pictures.result()
        except EngineClosed:
            raise
        except Exception as error:  # whatever an engine raises: one bad picture must not end all
            if len(jobs) > 1:
                for job in jobs:
                    self._finish(engine, [job], _submit(engine, [job]))
                return
            self._failed += 1
            where = f" (line {jobs[0].line} of the prompts)" if jobs[0].line else ""
            self.note(f"{jobs[0].file}{where} failed ({type(error).__name__}: {error}).")
            return
        with explained(self._out):
            dropped = [dropped_by(engine, job.shot.prompt) for job in jobs]
            self._folder.keep(jobs, done, engine.fingerprint, dropped)
        self._painted += len(done)
        self._screen.progress(self._painted + self._failed, self._all, len(done))


def _submit(engine: Engine, jobs: Sequence[Job]) -> Future[list[Picture]]:
    """The engine's future; an error that `submit` itself raises is in it as well."""
    try:
        return engine.submit([job.shot for job in jobs])
    except Exception as error:  # passed on to _finish, which reports it
        failed: Future[list[Picture]] = Future()
        failed.set_exception(error)
        return failed


def batches(jobs: Sequence[Job], most: int) -> Iterator[list[Job]]:
    """Runs of jobs that one submission may hold, in order, at most `most` long."""
    for _, alike in groupby(jobs, key=lambda job: batch_key(job.shot)):
        while some := list(islice(alike, most)):
            yield some
