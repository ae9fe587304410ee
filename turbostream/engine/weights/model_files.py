"""What the files of a pipeline say before any is loaded: its kind, which weights to take, damage.

No torch and no diffusers in here. `weights_of` makes one choice for each component, for fetching
(of the names in a repository) and for loading (of the names in a folder) alike.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turbostream.stream.engine_api import EngineUnusable

INDEX = "model_index.json"
SCHEDULER = "scheduler/scheduler_config.json"
PIPELINE = "StableDiffusionPipeline"
EXAMPLE = "stabilityai/sd-turbo"
# What each component of a pipeline's folder needs besides its weights.
NEEDED = {
    "unet": ("config.json",),
    "vae": ("config.json",),
    "text_encoder": ("config.json",),
    "scheduler": ("scheduler_config.json",),
    "tokenizer": ("tokenizer_config.json",),
}
STEMS = {
    "unet": ("diffusion_pytorch_model", "diffusion_pytorch_model"),
    "vae": ("diffusion_pytorch_model", "diffusion_pytorch_model"),
    "text_encoder": ("model", "pytorch_model"),  # as .safetensors and as .bin
}
# Schedulers of models that are distilled to few steps; Euler's counts with trailing timesteps.
FEW_STEPS = ("LCMScheduler", "TCDScheduler")
POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class Choice:
    """The weights of one component: the files' names in its folder, and how a loader asks."""

    files: tuple[str, ...]
    variant: str | None
    safetensors: bool


def weights_of(component: str, names: Iterable[str]) -> Choice | None:
    """What to take of the names in a component's folder: safetensors before pickles, and of
    those fp16 before fp32. None where there are none, or shards are missing."""
    names = sorted(names)
    for safetensors in (True, False):
        stem, ending = STEMS[component][not safetensors], ("bin", "safetensors")[safetensors]
        for variant in ("fp16", None):
            dotted = rf"\.{variant}" if variant else ""
            pattern = rf"{stem}{dotted}(?:-(\d{{5}})-of-(\d{{5}}))?\.{ending}"
            found = [match for name in names if (match := re.fullmatch(pattern, name))]
            whole = [match[0] for match in found if match[1] is None]
            shards = [match[0] for match in found if match[1] is not None]
            if not whole and shards and len(shards) == int(found[0][2]):
                whole = shards
            if whole:
                return Choice(tuple(whole), variant, safetensors)
    return None


def wanted_files(files: Iterable[str]) -> list[str]:
    """The files of a repository that the pipeline needs: never the same weights twice, and
    nothing that is not used (safety checker, ONNX)."""
    files = list(files)
    wanted = [file for file in files if file == INDEX]
    for component in NEEDED:
        names = _names_in(component, files)
        wanted += [f"{component}/{name}" for name in names if name.endswith((".json", ".txt"))]
        choice = weights_of(component, names) if component in STEMS else None
        wanted += [f"{component}/{name}" for name in choice.files] if choice else []
    return wanted


def missing_file(files: Iterable[str]) -> str | None:
    """The first file that a pipeline needs and that is not among `files`; None: all are there."""
    files = set(files)
    for component, needed in NEEDED.items():
        names = _names_in(component, files)
        for name in needed:
            if name not in names:
                return f"{component}/{name}"
        if component == "tokenizer" and "tokenizer.json" not in names:
            for name in ("vocab.json", "merges.txt"):
                if name not in names:
                    return f"{component}/{name}"
        if component in STEMS and weights_of(component, names) is None:
            return f"{component}/{STEMS[component][0]}.safetensors"
    return None


def _names_in(component: str, files: Iterable[str]) -> list[str]:
    place = component + "/"
    return [
        file.removeprefix(place)
        for file in files
        if file.startswith(place) and file.count("/") == 1
    ]


def files_of(folder: Path) -> list[str]:
    """The files of a pipeline's folder as a repository names them; OSError if it is unreadable."""
    found = [entry.name for entry in folder.iterdir() if entry.is_file()]
    for component in NEEDED:
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
        raise ValueError(_damage_of_head(file) or f"it is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError("it holds no JSON object")
    return value


def check_kind(name: str, folder: Path) -> None:
    """Raise EngineUnusable unless `folder`'s index, and its scheduler's file where that is
    there, are those of a one-step pipeline of Stable Diffusion's kind."""
    index = _object_of(name, folder, INDEX)
    kind = index.get("_class_name")
    if not isinstance(kind, str):
        raise EngineUnusable(
            f"{INDEX} of {name} cannot be used (it names no pipeline); copy it again or give "
            "another MODEL_ID."
        )
    if kind != PIPELINE:
        raise EngineUnusable(
            f"MODEL_ID {name} is a {_shown(kind)}, and this program plays a {PIPELINE} of one "
            f"step; give one such as {EXAMPLE}."
        )
    encoder = index.get("text_encoder")
    if not isinstance(encoder, list) or encoder[1:2] != ["CLIPTextModel"]:
        raise EngineUnusable(
            f"MODEL_ID {name} reads its words with {_shown(encoder)}, and this program knows "
            f"CLIPTextModel alone; give a model such as {EXAMPLE}."
        )
    if not (folder / SCHEDULER).is_file():
        return
    scheduler = _object_of(name, folder, SCHEDULER)
    kind = scheduler.get("_class_name")
    if kind not in FEW_STEPS and scheduler.get("timestep_spacing") != "trailing":
        raise EngineUnusable(
            f"MODEL_ID {name} is a model of many steps (its scheduler is {_shown(kind)}, without "
            f"trailing timesteps), of which one step gives a blur; give a one-step model such as "
            f"{EXAMPLE}."
        )


def no_pipeline(name: str, files: Iterable[str]) -> EngineUnusable:
    """What a folder or repository without an index is, in one sentence."""
    files = set(files)
    lora = {"adapter_config.json", "pytorch_lora_weights.safetensors", "pytorch_lora_weights.bin"}
    if files & lora:
        what = "holds a LoRA, which is an addition to a model and no model"
    elif single := sorted(
        file for file in files if "/" not in file and file.endswith((".safetensors", ".ckpt"))
    ):
        what = f"has no {INDEX}; it holds single files such as {single[0]}, and no pipeline folder"
    elif any(file.startswith(f"{part}/") for file in files for part in NEEDED):
        return EngineUnusable(
            f"The model {name} is incomplete: {INDEX} is missing; copy the whole folder again or "
            "give another MODEL_ID."
        )
    else:
        what = f"is no model in diffusers' format: {INDEX} is missing"
    return EngineUnusable(
        f"MODEL_ID {name} {what}; give a model in diffusers' format such as {EXAMPLE}."
    )


def single_file(name: str, file: Path) -> EngineUnusable:
    """What a MODEL_ID is that names a file, in one sentence."""
    if file.suffix == ".safetensors":
        try:
            lora = any("lora" in key for key in _header(file))
        except (OSError, ValueError):
            lora = False
        if lora:
            return EngineUnusable(
                f"MODEL_ID {name} is a LoRA, which is an addition to a model and no model; give a "
                f"model in diffusers' format such as {EXAMPLE}."
            )
    if file.suffix in (".safetensors", ".ckpt"):
        return EngineUnusable(
            f"MODEL_ID {name} is a single file; this program loads a folder in diffusers' format, "
            "which diffusers' from_single_file() and save_pretrained() make of it."
        )
    return EngineUnusable(f"MODEL_ID {name} is a file; give the folder that holds the model.")


def damaged_file(folder: Path, files: Iterable[str]) -> tuple[str, str] | None:
    """(file, what is wrong with it) of the first of `files` in `folder` that cannot be whole."""
    for file in files:
        path = folder / file
        try:
            if file.endswith(".json"):
                read_object(path)
            elif problem := _damage_of_head(path):
                return file, problem
            elif file.endswith(".safetensors"):
                _header(path)
            elif file.endswith(".bin") and not _is_pickle(path):
                return file, "it is damaged or half there"
        except (OSError, ValueError) as error:
            return file, str(error)
    return None


def check_words(name: str, folder: Path) -> None:
    """Raise EngineUnusable unless words.json, where there is one, is lists and tables of words."""
    if not (folder / "words.json").exists():
        return
    words = _object_of(name, folder, "words.json")
    for key, value in words.items():
        lists = value.values() if isinstance(value, dict) else [value]
        for entry in lists:
            texts = entry if isinstance(entry, list) else [entry] if value is not entry else [None]
            if not all(isinstance(text, str) for text in texts):
                raise EngineUnusable(
                    f"words.json of {name} cannot be used ({_shown(key)} is no list of words); "
                    "copy it again or delete it."
                )


def _object_of(name: str, folder: Path, file: str) -> Mapping[str, Any]:
    try:
        return read_object(folder / file)
    except ValueError as error:
        raise EngineUnusable(
            f"{file} of {name} cannot be used ({error}); copy it again or give another MODEL_ID."
        ) from None


def _damage_of_head(file: Path) -> str | None:
    with file.open("rb") as opened:
        head = opened.read(len(POINTER))
    if head == POINTER:
        return "it is a git-lfs pointer in place of the file; 'git lfs pull' fetches the file"
    return None if head else "it is empty"


def _header(file: Path) -> dict[str, Any]:
    """The table of a safetensors file; ValueError if it is damaged or the file is not as long as
    its table says. Source: the format's description in huggingface/safetensors."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if size < 8 or length > size - 8:
            raise ValueError("it is damaged or half there")
        try:
            table = json.loads(opened.read(length))
            ends = [
                entry["data_offsets"][1] for key, entry in table.items() if key != "__metadata__"
            ]
            promised = 8 + length + max(ends, default=0)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
            raise ValueError("it is damaged: its table cannot be read") from None
    if size != promised:
        raise ValueError(f"it is damaged: {size:,} of {promised:,} bytes are there")
    return dict(table)


def _is_pickle(file: Path) -> bool:
    """Whether torch.save may have written it whole: a zip archive, or its older format."""
    with file.open("rb") as opened:
        return opened.read(1) == b"\x80" or zipfile.is_zipfile(file)


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
