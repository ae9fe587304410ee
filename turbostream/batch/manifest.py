"""manifest.jsonl: a line for each picture that is there, written after the picture.

A line is {"number", "file", "sha256", "recipe", "shot", "fingerprint", "pipeline"} and, where the
prompt had no seed of its own, "counted_from" (SEED). Lines of before 2026-11-26 have no recipe,
pipeline and counted_from; all three follow from the rest of them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turbostream.batch.prompts import BatchError
from turbostream.batch.recipe import Pipeline, digest, without_defaults


@dataclass(frozen=True)
class Entry:
    """One picture. shot: without defaults; pipeline: empty where only the fingerprint says."""

    number: int
    file: str
    sha256: str
    recipe: str
    shot: Mapping[str, Any]
    fingerprint: str
    pipeline: str
    counted_from: int | None = None
    dropped: str | None = None  # the end of the prompt that the model does not read

    def line(self) -> str:
        values = {name: value for name, value in vars(self).items() if value is not None}
        return json.dumps(values) + "\n"


def _entry(data: Any, pipeline: Pipeline) -> Entry:
    """Raises ValueError, KeyError or TypeError for what is no entry."""
    number, file, shot = data["number"], data["file"], without_defaults(data["shot"])
    fingerprint = str(data["fingerprint"])
    if not isinstance(number, int) or not re.fullmatch(r"[0-9]{6,}(-[0-9]+)?\.jpg", file):
        raise ValueError
    if not re.fullmatch(r"[0-9a-f]{64}", data["sha256"]) or not isinstance(shot["prompt"], str):
        raise ValueError
    counted = data.get("counted_from")
    if not (counted is None or isinstance(counted, int)):
        raise ValueError
    dropped = data.get("dropped")
    if not (dropped is None or isinstance(dropped, str)):
        raise ValueError
    made_by = str(data.get("pipeline") or "")
    if made_by:
        recipe = str(data["recipe"])
    else:
        counted = int(shot["seed_from"]) - number + 1
        made_by = str(pipeline) if pipeline.painted(fingerprint) else ""
        recipe = pipeline.recipe(shot) if made_by else digest(shot, fingerprint)
    return Entry(number, file, data["sha256"], recipe, shot, fingerprint, made_by, counted, dropped)


def read(file: Path, pipeline: Pipeline) -> tuple[list[Entry], list[int]]:
    """(the entries, the numbers of the lines that are none); BatchError where all of it is none."""
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
    """A file that is whole whatever interrupts this; what it replaces stays until then."""
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
    """Lines at the end; none of them where they do not all fit."""
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
