"""What a pipeline's files tell before they are loaded: its choice of weights, what is missing,
damage.

No torch and no diffusers. `weights_of` makes the same choice for each component when downloading
(from the names in a repository) and when loading (from the names in a folder).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turbostream.engine.weights.families import CONFIGS, SD, STEMS, Row
from turbostream.engine.weights.headers import PICKLE, damage_of_head, header_of

INDEX = "model_index.json"
VARIANTS = ("fp16", None)  # the preferred first


@dataclass(frozen=True)
class Choice:
    """The weights of one component: file names in its folder, and the loader's arguments."""

    files: tuple[str, ...]
    variant: str | None
    safetensors: bool = True  # pickles are refused


@dataclass(frozen=True)
class _Found:
    """The weights of one variant that are there; missing: the first shard or index that is not."""

    files: tuple[str, ...]
    missing: str | None


def weights_of(component: str, names: Iterable[str]) -> Choice | None:
    """The weights to use among the names in a component's folder: fp16 before fp32. None if there
    are no safetensors or shards are missing."""
    names = set(names)
    for variant in VARIANTS:
        found = _found(component, names, variant)
        if found.files and found.missing is None:
            return Choice(found.files, variant)
    return None


def _found(component: str, names: set[str], variant: str | None) -> _Found:
    stem = STEMS[component][0] + (f".{variant}" if variant else "")
    if (whole := f"{stem}.safetensors") in names:
        return _Found((whole,), None)
    pattern = rf"{re.escape(stem)}-(\d{{5}})-of-(\d{{5}})\.safetensors"
    shards = sorted(name for name in names if re.fullmatch(pattern, name))
    if not shards:
        return _Found((), None)
    total = shards[0].rpartition("-of-")[2].partition(".")[0]
    expected = [f"{stem}-{n + 1:05}-of-{total}.safetensors" for n in range(int(total))]
    table = _table_of(component, variant)
    missing = [name for name in [table, *expected] if name not in names]
    return _Found(tuple(shards), missing[0] if missing else None)


def _table_of(component: str, variant: str | None) -> str:
    """The file that says which shard holds which tensor."""
    return f"{STEMS[component][0]}.safetensors.index{'.' + variant if variant else ''}.json"


def wanted_files(files: Iterable[str], row: Row = SD) -> list[str]:
    """The files of a repository that the pipeline needs, without duplicate weights and unused
    components (safety checker, ONNX)."""
    files = list(files)
    wanted = [file for file in files if file == INDEX]
    for component in row.components:
        names = _names_in(component, files)
        wanted += [f"{component}/{name}" for name in names if name.endswith((".json", ".txt"))]
        choice = weights_of(component, names) if component in STEMS else None
        wanted += [f"{component}/{name}" for name in choice.files] if choice else []
    return wanted


def weight_files(files: Iterable[str], row: Row) -> list[str]:
    """The safetensors among the wanted files."""
    return [file for file in wanted_files(files, row) if file.endswith(".safetensors")]


def missing_file(files: Iterable[str], row: Row = SD) -> str | None:
    """The first file that a pipeline needs and `files` lacks, or None."""
    files = set(files)
    for component, needed in row.needed.items():
        names = set(_names_in(component, files))
        for name in needed:
            if name not in names:
                return f"{component}/{name}"
        if component.startswith("tokenizer") and "tokenizer.json" not in names:
            for name in ("vocab.json", "merges.txt"):
                if name not in names:
                    return f"{component}/{name}"
        if component in STEMS and weights_of(component, names) is None:
            shards = [_found(component, names, variant).missing for variant in VARIANTS]
            absent = next((name for name in shards if name), f"{STEMS[component][0]}.safetensors")
            return f"{component}/{absent}"
    return None


def pickle_instead(files: Iterable[str], missing: str) -> str | None:
    """The pickle that is there instead of the missing safetensors, or None."""
    component, _, name = missing.partition("/")
    if component not in STEMS or not name.endswith(".safetensors"):
        return None
    stem = re.compile(rf"{component}/{STEMS[component][1]}\b.*\.(bin|pt|pth|ckpt)")
    return next((file for file in sorted(files) if stem.fullmatch(file)), None)


def missing_shard(folder: Path, files: Iterable[str], row: Row) -> str | None:
    """The first shard that a table of shards in `folder` names and `files` lacks, or None.

    ValueError if a table cannot be read.
    """
    files = set(files)
    for component in row.components:
        names = _names_in(component, files)
        choice = weights_of(component, names) if component in STEMS else None
        if choice is None or len(choice.files) == 1:
            continue
        table = read_object(folder / component / _table_of(component, choice.variant))
        shards = table.get("weight_map")
        if not isinstance(shards, dict) or not all(isinstance(v, str) for v in shards.values()):
            raise ValueError(f"{component}/{_table_of(component, choice.variant)} lists no shards")
        for shard in sorted(set(shards.values()) - set(names)):
            return f"{component}/{shard}"
    return None


def _names_in(component: str, files: Iterable[str]) -> list[str]:
    place = component + "/"
    return [
        file.removeprefix(place)
        for file in files
        if file.startswith(place) and file.count("/") == 1
    ]


def files_of(folder: Path) -> list[str]:
    """The files of a pipeline's folder, named as in a repository; OSError if it is unreadable."""
    found = [entry.name for entry in folder.iterdir() if entry.is_file()]
    for component in CONFIGS:
        if (folder / component).is_dir():
            inside = (folder / component).iterdir()
            found += [f"{component}/{entry.name}" for entry in inside if entry.is_file()]
    return found


def read_object(file: Path) -> dict[str, Any]:
    """The JSON object in `file`; ValueError says what is wrong with it."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(damage_of_head(file) or f"it is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    return value


def damaged_file(folder: Path, files: Iterable[str]) -> tuple[str, str] | None:
    """(file, what is wrong) for the first of `files` in `folder` that is damaged, or None."""
    for file in files:
        path = folder / file
        try:
            if file.endswith(".json"):
                read_object(path)
            elif problem := damage_of_head(path):
                return file, problem
            elif file.endswith(".safetensors"):
                header_of(path)
        except (OSError, ValueError) as error:
            return file, str(error)
    return None


def pickle_problem(file: str) -> str:
    """A clause that says why weights that are only a pickle are refused."""
    return f"{file} is not safetensors but a pickle, and {PICKLE}"
