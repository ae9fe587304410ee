"""Which picture of an earlier run belongs to which job, also after lines were inserted. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from turbostream.batch.manifest import Entry
from turbostream.batch.prompts import Job
from turbostream.batch.recipe import Pipeline, Recipe
from turbostream.stream.shot import MAX_SEED, Shot


@dataclass(frozen=True)
class Found:
    """An entry whose picture exists, at `path`."""

    entry: Entry
    path: Path


@dataclass(frozen=True)
class Plan:
    """kept: job number -> its picture. missing: to be painted. rest: pictures without a job."""

    kept: dict[int, Found]
    missing: list[Job]
    rest: list[Found]


def match(jobs: Sequence[Job], found: Sequence[Found], pipeline: Pipeline) -> Plan:
    """A job takes the picture of its recipe. A job without a seed of its own also takes a picture
    of the same prompt whose seed was counted from the same SEED, since its number may have
    changed. The remaining jobs are missing; one without a seed of its own gets a seed that no
    other picture of its prompt has."""
    kept: dict[int, Found] = {}
    same: dict[Recipe, list[Found]] = defaultdict(list)
    for one in found:
        same[one.entry.recipe].append(one)
    for job in jobs:
        if here := same[pipeline.recipe(job.shot)]:
            kept[job.number] = here.pop(0)
    taken = {id(one) for one in kept.values()}
    counted: dict[tuple[Shot, int | None], list[Found]] = defaultdict(list)
    for one in found:
        entry = one.entry
        if id(one) not in taken and entry.pipeline == str(pipeline):
            counted[_with_seed(entry.shot, 0), entry.counted_from].append(one)
    for job in jobs:
        if job.counted_from is None or job.number in kept:
            continue
        if here := counted[_with_seed(job.shot, 0), job.counted_from]:
            kept[job.number] = here.pop(0)
    used = {one.entry.recipe for one in kept.values()}
    missing: list[Job] = []
    for job in jobs:
        if job.number in kept:
            continue
        while job.counted_from is not None and pipeline.recipe(job.shot) in used:
            seed = job.shot.noise[0][0]
            job = replace(job, shot=_with_seed(job.shot, (seed + 1) % (MAX_SEED + 1)))
        used.add(pipeline.recipe(job.shot))
        missing.append(job)
    taken = {id(one) for one in kept.values()}
    return Plan(kept, missing, [one for one in found if id(one) not in taken])


def _with_seed(shot: Shot, seed: int) -> Shot:
    return replace(shot, noise=((seed, 1.0),))
