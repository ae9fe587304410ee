"""Which picture of an earlier run is which job's, whatever lines came in between. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from turbostream.batch.manifest import Entry
from turbostream.batch.prompts import Job
from turbostream.batch.recipe import SEEDS, Pipeline, digest, shot_data
from turbostream.stream.scene import MAX_SEED


@dataclass(frozen=True)
class Found:
    """An entry whose picture is there, at `path`."""

    entry: Entry
    path: Path


@dataclass(frozen=True)
class Plan:
    """kept: job number -> its picture. missing: what is to be painted. rest: not asked for."""

    kept: dict[int, Found]
    missing: list[Job]
    rest: list[Found]


def match(jobs: Sequence[Job], found: Sequence[Found], pipeline: Pipeline) -> Plan:
    """A job takes the picture of its recipe. One without a seed of its own also takes a picture of
    its words whose seed was counted from the same SEED, since its number may have moved; what is
    left is painted with a seed that none of the same words has."""
    kept: dict[int, Found] = {}
    same: dict[str, list[Found]] = defaultdict(list)
    for one in found:
        same[one.entry.recipe].append(one)
    for job in jobs:
        if here := same[pipeline.recipe(shot_data(job.shot))]:
            kept[job.number] = here.pop(0)
    taken = {id(one) for one in kept.values()}
    words: dict[str, list[Found]] = defaultdict(list)
    for one in found:
        entry = one.entry
        if id(one) not in taken and entry.pipeline == str(pipeline):
            words[_words(entry.shot, entry.counted_from)].append(one)
    for job in jobs:
        if job.counted_from is None or job.number in kept:
            continue
        if here := words[_words(shot_data(job.shot), job.counted_from)]:
            kept[job.number] = here.pop(0)
    used = {one.entry.recipe for one in kept.values()}
    missing: list[Job] = []
    for job in jobs:
        if job.number in kept:
            continue
        while job.counted_from is not None and pipeline.recipe(shot_data(job.shot)) in used:
            job = _with_next_seed(job)
        used.add(pipeline.recipe(shot_data(job.shot)))
        missing.append(job)
    taken = {id(one) for one in kept.values()}
    return Plan(kept, missing, [one for one in found if id(one) not in taken])


def _words(shot: Mapping[str, Any], counted_from: int | None) -> str:
    return digest({name: shot[name] for name in shot if name not in SEEDS}, counted_from)


def _with_next_seed(job: Job) -> Job:
    first, second = job.shot.seed_to, (job.shot.seed_to + 1) % (MAX_SEED + 1)
    return replace(job, shot=replace(job.shot, seed_from=first, seed_to=second))
