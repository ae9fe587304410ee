"""manifest.jsonl: one line for each picture in the folder, written after the picture.

A line is {"number", "file", "sha256", "shot", "fingerprint", "pipeline"}, the shot in the form of
`shot_json`; "counted_from" (SEED) is added if the prompt has no seed of its own, and "dropped" if
the model does not read the end of the prompt. Until 2026-11-26 the shot had version 1 of its form
and a line had "recipe", a digest, which is no longer used; the first lines had no recipe, pipeline
and counted_from, which follow from the rest. All of them stay readable.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turbostream.batch.prompts import BatchError
from turbostream.batch.recipe import Pipeline, Recipe
from turbostream.stream.shot import Shot
from turbostream.stream.shot_json import NewerShotError, from_json, to_json


@dataclass(frozen=True)
class Entry:
    """One picture. pipeline: empty if only the fingerprint is known and it is another pipeline's.

    dropped: the end of the prompt that the model does not read.
    """

    number: int
    file: str
    sha256: str
    shot: Shot
    fingerprint: str
    pipeline: str
    counted_from: int | None = None
    dropped: str | None = None

    @property
    def recipe(self) -> Recipe:
        return self.shot, self.pipeline or self.fingerprint

    def line(self) -> str:
        values = {name: value for name, value in vars(self).items() if value is not None}
        return json.dumps({**values, "shot": to_json(self.shot)}) + "\n"


def _entry(data: Any, pipeline: Pipeline) -> Entry:
    """Raises NewerShotError, or another ValueError, KeyError or TypeError if it is no entry."""
    number, file, fingerprint = data["number"], data["file"], str(data["fingerprint"])
    if not isinstance(number, int) or not re.fullmatch(r"[0-9]{6,}(-[0-9]+)?\.jpg", file):
        raise ValueError
    if not re.fullmatch(r"[0-9a-f]{64}", data["sha256"]):
        raise ValueError
    shot = from_json(data["shot"])
    counted = data.get("counted_from")
    if not (counted is None or isinstance(counted, int)):
        raise ValueError
    dropped = data.get("dropped")
    if not (dropped is None or isinstance(dropped, str)):
        raise ValueError
    made_by = str(data.get("pipeline") or "")
    if not made_by:
        counted = shot.noise[0][0] - number + 1
        made_by = str(pipeline) if pipeline.painted(fingerprint) else ""
    return Entry(number, file, data["sha256"], shot, fingerprint, made_by, counted, dropped)


def read(file: Path, pipeline: Pipeline) -> tuple[list[Entry], list[int]]:
    """(the entries, the numbers of the lines that are not entries).

    BatchError if no line is an entry, or if a newer version of the program has written one.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return [], []
    entries: list[Entry] = []
    bad: list[int] = []
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip(b"\0 \r\t"):  # zeros: where the power failed in the middle of a write
            continue
        try:
            entries.append(_entry(json.loads(line), pipeline))
        except NewerShotError as error:
            raise BatchError(f"{file}, line {number}: {error} Nothing was painted.") from None
        except (ValueError, KeyError, TypeError, RecursionError, AttributeError):
            bad.append(number)
    torn = bad == [1] and content.startswith(b'{"number": ') and b"\n" not in content
    if bad and not entries and not torn:
        raise BatchError(
            f"{file} is not a manifest of pictures: move it away, or give another folder."
        )
    return entries, bad


def write(file: Path, entries: Iterable[Entry]) -> None:
    """Whole or not at all."""
    put(file, "".join(entry.line() for entry in entries).encode())


def put(file: Path, content: bytes) -> None:
    """Write the file whole, whatever interrupts this; until then the previous one stays."""
    written = file.with_name(f"{file.name}.tmp")
    try:
        with written.open("wb") as target:
            target.write(content)
            target.flush()
            os.fsync(target.fileno())
        written.replace(file)
    except BaseException:
        written.unlink(missing_ok=True)
        raise


def append(file: Path, entries: Iterable[Entry]) -> None:
    """Add lines at the end; none of them if the disk has no room for all."""
    content = "".join(entry.line() for entry in entries).encode()
    with file.open("ab", buffering=0) as target:
        before = target.tell()
        try:
            done = 0
            while done < len(content):
                done += target.write(content[done:])
            os.fsync(target.fileno())
        except BaseException:
            target.truncate(before)
            raise
