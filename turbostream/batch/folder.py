"""The folder of the pictures: existing ones are moved to the file's order, none is overwritten.

A picture that the file of prompts no longer asks for is moved to `earlier/`, which has its own
manifest, and is moved back when it is asked for again. Whatever interrupts this, the next run
identifies every picture by its content. Runs on the caller's thread, under `lock.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

from turbostream.batch import manifest
from turbostream.batch.manifest import Entry
from turbostream.batch.matching import Found, Plan, match
from turbostream.batch.prompts import Job
from turbostream.batch.recipe import Pipeline
from turbostream.stream.engine_api import Picture

EARLIER = "earlier"
MANIFEST = "manifest.jsonl"


class Folder:
    """Use it under `locked`. `note` is called with one sentence on each thing found or moved."""

    def __init__(self, out: Path, pipeline: Pipeline, note: Callable[[str], None]) -> None:
        self._out, self._earlier = out, out / EARLIER
        self._pipeline, self._note = pipeline, note

    def take_up(self, jobs: Sequence[Job]) -> Plan:
        """What exists and what is to be painted; moves the kept pictures to their places."""
        for half in (*self._out.glob("*.jpg.tmp"), *self._out.glob(f"{MANIFEST}.tmp")):
            half.unlink()
        entries, bad = manifest.read(self._out / MANIFEST, self._pipeline)
        before, _ = manifest.read(self._earlier / MANIFEST, self._pipeline)
        if bad:
            self._note(
                f"line {bad[0]} of {self._out / MANIFEST} cannot be read"
                + (f", nor can {len(bad) - 1} more" if len(bad) > 1 else "")
                + "; pictures that are named only there are painted again."
            )
        plan = match(jobs, self._present(entries, before), self._pipeline)
        names = {job.number: job.file for job in jobs}
        kept = [
            replace(plan.kept[number].entry, number=number, file=names[number])
            for number in sorted(plan.kept)
        ]
        rest = self._place_of_each(plan.rest)
        # Both manifests name a picture until it has been moved; one of them is always right.
        if rest or before:
            self._list_earlier([*before, *rest.values()])
        self._move_aside(rest)
        self._move_to_places(plan, names)
        if bad or kept != entries:
            manifest.write(self._out / MANIFEST, kept)
        if rest or before:
            self._list_earlier(list(rest.values()))
        self._tell(plan)
        return plan

    def keep(
        self,
        jobs: Sequence[Job],
        pictures: Sequence[Picture],
        fingerprint: str,
        dropped: Sequence[str],
    ) -> None:
        """Write the pictures, then their lines in the manifest.

        dropped: the end of each prompt that the model does not read.
        """
        contents = {self._out / job.file: p.jpeg for job, p in zip(jobs, pictures, strict=True)}
        hashes = {target: hashlib.sha256(content) for target, content in contents.items()}
        # The others are from a run that ended between writing a picture and its line.
        new = [target for target in contents if _sha256(target) != hashes[target].digest()]
        for target in new:
            if target.exists():
                self._aside(target)
        # In parallel: the disk takes as long for eight as for one.
        with ThreadPoolExecutor(max(1, len(new)), "pictures") as pool:
            list(pool.map(lambda target: manifest.put(target, contents[target]), new))
        entries = []
        for job, picture, unread in zip(jobs, pictures, dropped, strict=True):
            entries.append(
                Entry(
                    job.number,
                    job.file,
                    hashes[self._out / job.file].hexdigest(),
                    job.shot,
                    picture.fingerprint or fingerprint,
                    str(self._pipeline),
                    job.counted_from,
                    unread or None,
                )
            )
        manifest.append(self._out / MANIFEST, entries)

    # -- what is there ---------------------------------------------------------------------------

    def _present(self, entries: Sequence[Entry], before: Sequence[Entry]) -> list[Found]:
        """The entries whose pictures exist with the right hash, each picture once."""
        found: list[Found] = []
        lost: list[Entry] = []
        taken: set[Path] = set()
        for folder, listed in ((self._out, entries), (self._earlier, before)):
            for entry in listed:
                path = folder / entry.file
                if path not in taken and _sha256(path) == bytes.fromhex(entry.sha256):
                    taken.add(path)
                    found.append(Found(entry, path))
                else:
                    lost.append(entry)
        if lost:  # an interrupted run may have left them under another name
            places = [self._out.glob(name) for name in ("*.jpg", "*.moving")]
            others = {
                _sha256(path): path
                for path in (p for place in (*places, self._earlier.glob("*.jpg")) for p in place)
                if path not in taken
            }
            for entry in lost:
                if moved := others.pop(bytes.fromhex(entry.sha256), None):
                    found.append(Found(entry, moved))
        return found

    # -- moving ----------------------------------------------------------------------------------

    def _place_of_each(self, rest: Sequence[Found]) -> dict[Path, Entry]:
        """The path of each picture without a job -> its entry in the manifest of `earlier`."""
        names: dict[Path, Entry] = {}
        reserved: set[str] = {one.path.name for one in rest if one.path.parent == self._earlier}
        for one in rest:
            name = one.path.name
            if one.path.parent != self._earlier:
                name = self._free(one.entry.file, reserved)
                reserved.add(name)
            names[one.path] = replace(one.entry, file=name)
        return names

    def _free(self, name: str, reserved: Collection[str] = ()) -> str:
        """An unused name in `earlier`."""
        stem = name.partition("-")[0].removesuffix(".jpg")
        names = (f"{stem}.jpg" if n == 1 else f"{stem}-{n}.jpg" for n in count(1))
        return next(n for n in names if n not in reserved and not (self._earlier / n).exists())

    def _aside(self, path: Path, name: str = "") -> None:
        self._earlier.mkdir(exist_ok=True)
        path.rename(self._earlier / (name or self._free(path.name)))

    def _move_aside(self, rest: dict[Path, Entry]) -> None:
        moved = 0
        for path, entry in rest.items():
            if path.parent != self._earlier or path.name != entry.file:
                self._aside(path, entry.file)
                moved += 1
        if moved:
            self._note(
                f"{moved} pictures that are no longer asked for were moved to {self._earlier}."
            )

    def _move_to_places(self, plan: Plan, names: dict[int, str]) -> None:
        """In two steps, since two pictures may swap their places."""
        moves = []
        for number, one in plan.kept.items():
            target = self._out / names[number]
            if one.path != target:
                between = self._out / f"{number}-{one.entry.sha256[:16]}.moving"
                one.path.rename(between)
                moves.append((between, target))
        for between, target in moves:
            if target.exists():  # not in the manifest, or damaged
                self._aside(target)
            between.rename(target)

    def _list_earlier(self, entries: Sequence[Entry]) -> None:
        if entries:
            self._earlier.mkdir(exist_ok=True)
            manifest.write(self._earlier / MANIFEST, entries)
            return
        (self._earlier / MANIFEST).unlink(missing_ok=True)
        with suppress(OSError):  # it contains files that are not in the manifest
            self._earlier.rmdir()

    def _tell(self, plan: Plan) -> None:
        asked = {job.shot for job in plan.missing}
        now = str(self._pipeline)
        other = [
            one.entry.pipeline or one.entry.fingerprint
            for one in plan.rest
            if one.entry.pipeline != now and one.entry.shot in asked
        ]
        if other:
            self._note(
                f"{len(other)} of the pictures in {self._earlier} are painted again with the "
                f"present settings ({now}; earlier: {other[0]})."
            )
        unknown = sum((self._out / job.file).exists() for job in plan.missing)
        if unknown:
            self._note(
                f"{unknown} files have the name of a picture to be painted and are not in the "
                f"manifest: each is moved to {self._earlier} before its name is used."
            )


def _sha256(path: Path) -> bytes | None:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except (FileNotFoundError, IsADirectoryError):
        return None
