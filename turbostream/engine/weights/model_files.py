"""What a pipeline's files tell before they are loaded: its kind, its choice of weights, damage.

No torch and no diffusers. `weights_of` makes the same choice for each component when downloading
(from the names in a repository) and when loading (from the names in a folder).
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
# The files that each component needs besides its weights.
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
    "text_encoder": ("model", "pytorch_model"),  # of .safetensors and .bin files
}
# Schedulers of models distilled to few steps; others count if their timesteps are trailing.
FEW_STEPS = ("LCMScheduler", "TCDScheduler")
POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class Choice:
    """The weights of one component: file names in its folder, and the loader's arguments."""

    files: tuple[str, ...]
    variant: str | None
    safetensors: bool


def weights_of(component: str, names: Iterable[str]) -> Choice | None:
    """The weights to use among the names in a component's folder: safetensors before pickles, and
    among those fp16 before fp32. None if there are none or shards are missing."""
    names = sorted(names)
    for safetensors in (True, False):
        stem, ending = STEMS[component][not safetensors], ("bin", "safetensors")[safetensors]
        for variant in ("fp16", None):
            dotted = rf"\.{variant}" if variant else ""
            pattern = rf"{stem}{dotted}(?:-(\d{{5}})-of-(\d{{5}}))?\.{ending}"
            found = [match for name in names if (match := re.fullmatch(pattern, name))]
            complete = [match[0] for match in found if match[1] is None]
            shards = [match[0] for match in found if match[1] is not None]
            if not complete and shards and len(shards) == int(found[0][2]):
                complete = shards
            if complete:
                return Choice(tuple(complete), variant, safetensors)
    return None


def wanted_files(files: Iterable[str]) -> list[str]:
    """The files of a repository that the pipeline needs, without duplicate weights and unused
    components (safety checker, ONNX)."""
    files = list(files)
    wanted = [file for file in files if file == INDEX]
    for component in NEEDED:
        names = _names_in(component, files)
        wanted += [f"{component}/{name}" for name in names if name.endswith((".json", ".txt"))]
        choice = weights_of(component, names) if component in STEMS else None
        wanted += [f"{component}/{name}" for name in choice.files] if choice else []
    return wanted


def missing_file(files: Iterable[str]) -> str | None:
    """The first file that a pipeline needs and `files` lacks, or None."""
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
    """The files of a pipeline's folder, named as in a repository; OSError if it is unreadable."""
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
        raise ValueError(_damage_of_head(file) or f"it is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    return value


def check_kind(name: str, folder: Path) -> None:
    """Raise EngineUnusable unless the index in `folder`, and its scheduler's file if present,
    belong to a one-step Stable Diffusion pipeline."""
    index = _object_of(name, folder, INDEX)
    kind = index.get("_class_name")
    if not isinstance(kind, str):
        raise EngineUnusable(
            f"{INDEX} of {name} cannot be used (it names no pipeline); copy it again or give "
            "another MODEL_ID."
        )
    if kind != PIPELINE:
        raise EngineUnusable(
            f"MODEL_ID {name} is a {_shown(kind)}, and this program runs only a one-step "
            f"{PIPELINE}; give one such as {EXAMPLE}."
        )
    encoder = index.get("text_encoder")
    if not isinstance(encoder, list) or encoder[1:2] != ["CLIPTextModel"]:
        raise EngineUnusable(
            f"MODEL_ID {name} has the text encoder {_shown(encoder)}, and this program supports "
            f"only CLIPTextModel; give a model such as {EXAMPLE}."
        )
    if not (folder / SCHEDULER).is_file():
        return
    scheduler = _object_of(name, folder, SCHEDULER)
    kind = scheduler.get("_class_name")
    if kind not in FEW_STEPS and scheduler.get("timestep_spacing") != "trailing":
        raise EngineUnusable(
            f"MODEL_ID {name} is a model of many steps (its scheduler is {_shown(kind)}, without "
            f"trailing timesteps), and one step of it gives only a blur; give a one-step model "
            f"such as {EXAMPLE}."
        )


def no_pipeline(name: str, files: Iterable[str]) -> EngineUnusable:
    """The error for a folder or repository without an index."""
    files = set(files)
    lora = {"adapter_config.json", "pytorch_lora_weights.safetensors", "pytorch_lora_weights.bin"}
    if files & lora:
        what = "holds a LoRA, which extends a model and is not one itself"
    elif single := sorted(
        file for file in files if "/" not in file and file.endswith((".safetensors", ".ckpt"))
    ):
        what = f"has no {INDEX}: it contains single files such as {single[0]}, not a pipeline"
    elif any(file.startswith(f"{part}/") for file in files for part in NEEDED):
        return EngineUnusable(
            f"The model {name} is incomplete: {INDEX} is missing; copy the whole folder again or "
            "give another MODEL_ID."
        )
    else:
        what = f"is not a model in diffusers' format: {INDEX} is missing"
    return EngineUnusable(
        f"MODEL_ID {name} {what}; give a model in diffusers' format such as {EXAMPLE}."
    )


def single_file(name: str, file: Path) -> EngineUnusable:
    """The error for a MODEL_ID that names a file."""
    if file.suffix == ".safetensors":
        try:
            lora = any("lora" in key for key in _header(file))
        except (OSError, ValueError):
            lora = False
        if lora:
            return EngineUnusable(
                f"MODEL_ID {name} is a LoRA, which extends a model and is not one itself; give a "
                f"model in diffusers' format such as {EXAMPLE}."
            )
    if file.suffix in (".safetensors", ".ckpt"):
        return EngineUnusable(
            f"MODEL_ID {name} is a single file, and this program loads a folder in diffusers' "
            "format; convert it with diffusers' from_single_file() and save_pretrained()."
        )
    return EngineUnusable(f"MODEL_ID {name} is a file; give the folder that contains the model.")


def damaged_file(folder: Path, files: Iterable[str]) -> tuple[str, str] | None:
    """(file, what is wrong) for the first of `files` in `folder` that is damaged, or None."""
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
                return file, "it is damaged or incomplete"
        except (OSError, ValueError) as error:
            return file, str(error)
    return None


def check_words(name: str, folder: Path) -> None:
    """Raise EngineUnusable if there is a words.json that is not lists and tables of words."""
    if not (folder / "words.json").exists():
        return
    words = _object_of(name, folder, "words.json")
    for key, value in words.items():
        lists = value.values() if isinstance(value, dict) else [value]
        for entry in lists:
            texts = entry if isinstance(entry, list) else [entry] if value is not entry else [None]
            if not all(isinstance(text, str) for text in texts):
                raise EngineUnusable(
                    f"words.json of {name} cannot be used ({_shown(key)} is not a list of words); "
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
        return "it is a git-lfs pointer instead of the file; 'git lfs pull' downloads the file"
    return None if head else "it is empty"


def _header(file: Path) -> dict[str, Any]:
    """The header of a safetensors file; ValueError if it is damaged or does not match the file's
    size. Source: the format description in huggingface/safetensors."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if size < 8 or length > size - 8:
            raise ValueError("it is damaged or incomplete")
        try:
            header = json.loads(opened.read(length))
            ends = [
                entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"
            ]
            expected = 8 + length + max(ends, default=0)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
            raise ValueError("it is damaged: its header cannot be read") from None
    if size != expected:
        raise ValueError(f"it is damaged: it has {size:,} of {expected:,} bytes")
    return dict(header)


def _is_pickle(file: Path) -> bool:
    """Whether it may be a complete file of torch.save: a zip archive, or its older format."""
    with file.open("rb") as opened:
        return opened.read(1) == b"\x80" or zipfile.is_zipfile(file)


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
