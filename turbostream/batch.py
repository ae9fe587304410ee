"""A file of prompts to numbered pictures and a manifest, through any engine, resumable.

One thread, the caller's. A picture is written beside its place and then put there, and its line
enters the manifest after that, so that whatever interrupts this leaves whole pictures only and the
next run paints what is missing. Knows the engine by the seam alone, and the web not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from turbostream.start_screen import bar
from turbostream.stream.scene import MAX_SEED, SceneError, Shot, check_prompt
from turbostream.stream.seam import Engine, Picture

FIELDS = ("prompt", "seed", "width", "height")


class BatchError(Exception):
    """One sentence about a file that cannot be used."""


@dataclass(frozen=True)
class Job:
    """Picture `number` (from 1, in the file's order) and its recipe."""

    number: int
    shot: Shot

    @property
    def file(self) -> str:
        return f"{self.number:06d}.jpg"


def read_jobs(file: Path, seed: int, width: int | None, height: int | None) -> list[Job]:
    """The jobs of `file`; a prompt without a seed gets `seed` + its number - 1. BatchError."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BatchError(f"{file} cannot be read ({error}).") from error
    jobs: list[Job] = []
    for place, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        number = len(jobs) + 1
        values = {"seed": (seed + number - 1) % (MAX_SEED + 1), "width": width, "height": height}
        try:
            jobs.append(Job(number, _shot({**values, **_values(line)})))
        except (SceneError, ValueError) as error:
            raise BatchError(f"{file}, line {place}: {error}") from None
    if not jobs:
        raise BatchError(f"{file} holds no prompt; write one a line.")
    return jobs


def _values(line: str) -> dict[str, Any]:
    if not line.lstrip().startswith("{"):
        return {"prompt": line}
    value = json.loads(line)
    unknown = sorted(set(value) - set(FIELDS))
    if unknown:
        raise ValueError(f"there is no field {unknown[0]!r}; known: {', '.join(FIELDS)}.")
    return dict(value)


def _shot(values: dict[str, Any]) -> Shot:
    for name, most in (("seed", MAX_SEED), ("width", 2048), ("height", 2048)):
        value = values[name]
        if value is None and name != "seed":
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise ValueError(f"{name} must be a whole number from 0 to {most}.")
    seed = values["seed"]
    return Shot(
        check_prompt(values.get("prompt")),
        seed,
        (seed + 1) % (MAX_SEED + 1),
        0.0,
        values["width"],
        values["height"],
    )


@contextmanager
def busy(state_folder: Path) -> Iterator[None]:
    """A guard on a rented instance does not call it idle while this is entered."""
    mark = state_folder / "busy" / str(os.getpid())
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


class Batch:
    """The pictures in `out`, with progress on `screen`."""

    def __init__(self, out: Path, screen: TextIO) -> None:
        self._out, self._screen = out, screen
        self._manifest = out / "manifest.jsonl"
        self._painted = self._failed = 0
        self._all = 0

    def note(self, text: str) -> None:
        self._screen.write(("\r\x1b[K" if self._screen.isatty() else "") + f"[batch] {text}\n")
        self._screen.flush()

    def paint(
        self, jobs: Sequence[Job], open_engine: Callable[[], Engine], price: float | None
    ) -> int:
        """Paint what is missing; 0, or 1 where pictures failed. The last line sums it up."""
        self._out.mkdir(parents=True, exist_ok=True)
        have = self._take_up(jobs)
        missing = [job for job in jobs if job.number not in have]
        if have:
            self.note(f"{len(have)} of {len(jobs)} pictures are here already.")
        self._all = len(missing)
        began = time.monotonic()
        if missing:
            engine = open_engine()
            began = time.monotonic()
            try:
                self._run(engine, missing)
            finally:
                engine.close()
        took = time.monotonic() - began
        rate = self._painted / took if took > 0 else 0.0
        cost = "" if price is None else f", ${price * took / 3600:.4f} at ${price:g} an hour"
        failed = f", {self._failed} FAILED (run again to try them)" if self._failed else ""
        self.note(f"{self._painted} painted in {took:.1f} s, {rate:.1f} frames/s{cost}{failed}.")
        return 1 if self._failed else 0

    def _run(self, engine: Engine, jobs: Sequence[Job]) -> None:
        flights: deque[tuple[list[Job], Future[list[Picture]]]] = deque()
        for some in batches(jobs, engine.max_batch):
            flights.append((some, engine.submit([job.shot for job in some])))
            while len(flights) >= engine.depth:
                self._land(engine, *flights.popleft())
        while flights:
            self._land(engine, *flights.popleft())

    def _land(self, engine: Engine, jobs: list[Job], pictures: Future[list[Picture]]) -> None:
        try:
            done = pictures.result()
        except Exception as error:  # whatever an engine raises: one bad picture may not end all
            if len(jobs) > 1:
                for job in jobs:
                    self._land(engine, [job], engine.submit([job.shot]))
                return
            self._failed += 1
            self.note(f"{jobs[0].file} failed ({type(error).__name__}: {error}).")
            return
        for job, picture in zip(jobs, done, strict=True):
            self._keep(job, picture, picture.fingerprint or engine.fingerprint)
        self._show()

    # -- files ---------------------------------------------------------------------------------

    def _keep(self, job: Job, picture: Picture, fingerprint: str) -> None:
        written = self._out / f"{job.file}.tmp"
        written.write_bytes(picture.jpeg)
        written.replace(self._out / job.file)
        line = {
            "number": job.number,
            "file": job.file,
            "sha256": hashlib.sha256(picture.jpeg).hexdigest(),
            "shot": job.shot.as_dict(),
            "fingerprint": fingerprint,
        }
        with self._manifest.open("a", encoding="utf-8") as manifest:
            manifest.write(json.dumps(line) + "\n")
        self._painted += 1

    def _take_up(self, jobs: Sequence[Job]) -> set[int]:
        """The numbers that an earlier run has painted whole; the manifest is left with those."""
        wanted = {job.number: job for job in jobs}
        kept: dict[int, str] = {}
        with suppress(FileNotFoundError):
            for line in self._manifest.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError, KeyError, TypeError, OSError):
                    entry = json.loads(line)
                    job = wanted[entry["number"]]
                    content = (self._out / job.file).read_bytes()
                    same = hashlib.sha256(content).hexdigest() == entry["sha256"]
                    if same and entry["shot"] == job.shot.as_dict():
                        kept[job.number] = line
        written = self._manifest.with_suffix(".tmp")
        written.write_text("".join(f"{kept[number]}\n" for number in sorted(kept)), "utf-8")
        written.replace(self._manifest)
        return set(kept)

    def _show(self) -> None:
        done = self._painted + self._failed
        if self._screen.isatty():
            self._screen.write(f"\r[batch] {bar(done, self._all)} {done} of {self._all}")
            if done == self._all:
                self._screen.write("\n")
            self._screen.flush()
        elif done * 10 // self._all != (done - 1) * 10 // self._all:
            self.note(f"{done} of {self._all}")


def batches(jobs: Sequence[Job], most: int) -> Iterator[list[Job]]:
    """Runs of jobs of one size, in order, at most `most` long."""
    some: list[Job] = []
    for job in jobs:
        size = (job.shot.width, job.shot.height)
        if some and (len(some) >= most or (some[0].shot.width, some[0].shot.height) != size):
            yield some
            some = []
        some.append(job)
    if some:
        yield some
