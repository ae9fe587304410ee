"""The file of prompts: one prompt per line, or JSON lines. Checked as a whole before painting.

Runs on the caller's thread. Knows no pictures and no manifest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turbostream.stream.scene_checks import check_prompt
from turbostream.stream.shot import MAX_SEED, Shot

FIELDS = ("prompt", "seed", "width", "height")
SIZES = range(64, 2049, 8)  # as WIDTH and HEIGHT in settings.py
NAMED = 5  # bad lines in the error


class BatchError(Exception):
    """One sentence about a file or folder that cannot be used."""


@dataclass(frozen=True)
class Job:
    """Picture `number` (from 1, in the file's order), its shot and its line in the file.

    counted_from: SEED if the line has no seed of its own; the shot's seed is SEED + number - 1.
    """

    number: int
    shot: Shot
    line: int = 0
    counted_from: int | None = None

    @property
    def file(self) -> str:
        return f"{self.number:06d}.jpg"


def read_jobs(file: Path, seed: int, width: int | None, height: int | None) -> list[Job]:
    """The jobs of `file`; a prompt without a seed gets `seed` + its number - 1.

    Raises BatchError, which names the bad lines, the first few if there are many.
    """
    jobs: list[Job] = []
    bad: list[str] = []
    for line, text in enumerate(_lines(file), start=1):
        if not text.strip() or text.startswith("#"):
            continue
        number = len(jobs) + len(bad) + 1
        default = (seed + number - 1) % (MAX_SEED + 1)
        try:
            values = _values(text)
            counted_from = seed if values.get("seed") is None else None
            jobs.append(Job(number, _shot(values, default, width, height), line, counted_from))
        except ValueError as error:  # a SceneError is one
            bad.append(f"line {line}: {error}")
    if bad:
        more = f" And {len(bad) - NAMED} more bad lines." if len(bad) > NAMED else ""
        raise BatchError(f"{file}, {' '.join(bad[:NAMED])}{more} Nothing was painted.")
    if not jobs:
        raise BatchError(f"{file} contains no prompt; write one per line.")
    return jobs


def _lines(file: Path) -> list[str]:
    """Split at line feeds only: U+2028 and similar are characters of a prompt."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise BatchError(
            f"There is no file {file}: write one prompt per line into it, or name another file "
            "(process_batch.py FILE FOLDER)."
        ) from None
    except OSError as error:
        raise BatchError(f"{file} cannot be read ({error.strerror}).") from error
    try:
        text = content.decode("utf-8-sig")  # with or without a byte order mark
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BatchError(f"{file}, line {line}: this is not UTF-8; save it as UTF-8.") from None
    return [line.removesuffix("\r") for line in text.split("\n")]


def _values(line: str) -> dict[str, Any]:
    if not line.lstrip().startswith("{"):
        return {"prompt": line}
    try:
        values: dict[str, Any] = json.loads(line, object_pairs_hook=_once, parse_int=_int)
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON ({error.msg}, column {error.colno}).") from None
    except RecursionError:
        raise ValueError("the JSON is nested too deeply.") from None
    unknown = sorted(set(values) - set(FIELDS))
    if unknown:
        raise ValueError(f"there is no field {unknown[0][:40]!r}; known: {', '.join(FIELDS)}.")
    return values


def _int(digits: str) -> int:
    if len(digits) > 20:  # Python refuses thousands of digits with a longer message
        raise ValueError(f"the number {digits[:20]}... is too large.")
    return int(digits)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {twice[:40]!r} is given twice.")
    return values


def _shot(values: dict[str, Any], seed: int, width: int | None, height: int | None) -> Shot:
    prompt = check_prompt(values.get("prompt"))
    seed = _whole(values, "seed", range(MAX_SEED + 1)) if values.get("seed") is not None else seed
    for name in ("width", "height"):
        if values.get(name) is not None:
            _whole(values, name, SIZES)
    return Shot.single(prompt, seed, values.get("width", width), values.get("height", height))


def _whole(values: dict[str, Any], name: str, allowed: range) -> int:
    value = values[name]
    if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
        kind = "a whole number" if allowed.step == 1 else f"a multiple of {allowed.step}"
        raise ValueError(f"{name} must be {kind} from {allowed[0]} to {allowed[-1]}.")
    return value
