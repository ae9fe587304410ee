"""What a pipeline's index and configs tell: its class, its steps, its input. Refusals by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from turbostream.engine.weights.families import EXAMPLES, ROWS, SD, STEMS, SUPPORTED, Row, other
from turbostream.engine.weights.model_files import INDEX, read_object
from turbostream.stream.engine_api import EngineUnusable

SCHEDULER = "scheduler/scheduler_config.json"
UNET = "unet/config.json"
CONFIGS = (SCHEDULER, UNET)  # read besides the index where they are there
CONDITIONS = ("class_embed_type", "num_class_embeds", "encoder_hid_dim_type")  # of a UNet
# Schedulers of models distilled to few steps; others count if their timesteps are trailing.
FEW_STEPS = ("LCMScheduler", "TCDScheduler")


def check_kind(name: str, folder: Path, many_steps: bool = False) -> Row:
    """The row of the index in `folder`. Raises EngineUnusable unless it, and the configs of the
    scheduler and the UNet if present, belong to a supported pipeline.

    many_steps: accept a model made for many steps.
    """
    index = object_of(name, folder, INDEX)
    row = _row_of(name, index)
    for part, wanted in row.classes.items():
        given = index.get(part, ["", wanted])  # of a part that is not named, the files are missed
        if not isinstance(given, list) or given[1:2] != [wanted]:
            raise EngineUnusable(
                f"MODEL_ID {name} has the {part.replace('_', ' ')} {shown(given)}, and this "
                f"program supports only {wanted}; give a model such as {row.example}."
            )
    width = 0
    if (folder / UNET).is_file():
        unet = object_of(name, folder, UNET)
        check_channels(name, unet.get("in_channels"), unet.get("out_channels"), row)
        _check_conditions(name, unet, row)
        wide = unet.get("cross_attention_dim")
        width = wide if isinstance(wide, int) else 0
    if not many_steps and (folder / SCHEDULER).is_file():
        scheduler = object_of(name, folder, SCHEDULER)
        kind = scheduler.get("_class_name")
        if kind not in FEW_STEPS and scheduler.get("timestep_spacing") != "trailing":
            raise made_for_many_steps(
                name, f"its scheduler is {shown(kind)}, without trailing timesteps", row, width
            )
    return row


def _row_of(name: str, index: Mapping[str, Any]) -> Row:
    kind = index.get("_class_name")
    if not isinstance(kind, str):
        raise EngineUnusable(
            f"{INDEX} of {name} cannot be used (it names no pipeline); copy it again or give "
            "another MODEL_ID."
        )
    if kind in ROWS:
        return ROWS[kind]
    known = other(kind)
    what = f"{known} ({shown(kind)})" if known else f"a {shown(kind)}"
    saved = index.get("_diffusers_version")
    newer = "" if known else _newer_than_here(saved)
    raise EngineUnusable(
        f"MODEL_ID {name} is {what}{newer}, and this program runs only {SUPPORTED}; give one such "
        f"as {EXAMPLES}."
    )


def _newer_than_here(saved: object) -> str:
    """A clause if that version of diffusers is newer than the one installed."""
    try:
        here = version("diffusers")
    except PackageNotFoundError:
        return ""
    if not isinstance(saved, str) or _numbers(saved) <= _numbers(here):
        return ""
    return f", saved by diffusers {shown(saved)}, which is newer than {here} here"


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d{1,6}", text)[:3]]


def check_channels(name: str, taken: object, made: object, row: Row) -> None:
    """Raise EngineUnusable unless the UNet takes as many channels as it makes: the latents alone.

    The extra ones hold a picture and its mask (inpainting, 9 for 4) or a picture to edit.
    """
    if taken == made:
        return
    what = "an inpainting model" if (taken, made) == (9, 4) else "a model for more than words"
    raise EngineUnusable(
        f"MODEL_ID {name} is {what}: its UNet takes {shown(taken)} channels and makes "
        f"{shown(made)}; give a text-to-image model such as {row.example}."
    )


def _check_conditions(name: str, unet: Mapping[str, Any], row: Row) -> None:
    """Raise EngineUnusable for a UNet that takes more than the words and the time, such as a class,
    which no shot has."""
    for key, wanted in {**dict.fromkeys(CONDITIONS), "addition_embed_type": row.added}.items():
        if (given := unet.get(key)) != wanted:
            raise EngineUnusable(
                f"MODEL_ID {name} is a model for more than words: its UNet has {key} "
                f"{shown(given)} instead of {shown(wanted)}; give a text-to-image model such as "
                f"{row.example}."
            )


def made_for_many_steps(name: str, why: str, row: Row, width: int) -> EngineUnusable:
    """The error for a model that needs more steps. width: of the UNet's cross attention, or 0."""
    lora = row.lora.get(width)
    add = f" with LORAS, such as {lora}" if lora else " made for it with LORAS"
    return EngineUnusable(
        f"MODEL_ID {name} is a model of {row.title} made for 20 to 50 steps ({why}): add a "
        f"few-step LoRA{add}, or set STEPS to insist, and expect blur, or give a model made for "
        f"few steps, such as {row.example}."
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
        what = (
            f"has no {INDEX}: it contains single files such as {single[0]}, not a pipeline, and a "
            "single .safetensors file is played from its path"
        )
    elif any(file.startswith(f"{part}/") for file in files for part in STEMS):
        return EngineUnusable(
            f"The model {name} is incomplete: {INDEX} is missing; copy the whole folder again or "
            "give another MODEL_ID."
        )
    else:
        what = f"is not a model in diffusers' format: {INDEX} is missing"
    return EngineUnusable(
        f"MODEL_ID {name} {what}; give a model in diffusers' format such as {SD.example}."
    )


def object_of(name: str, folder: Path, file: str) -> Mapping[str, Any]:
    """The JSON object in a file of the model `name`; raises EngineUnusable."""
    try:
        return read_object(folder / file)
    except ValueError as error:
        raise EngineUnusable(
            f"{file} of {name} cannot be used ({error}); copy it again or give another MODEL_ID."
        ) from None


def check_words(name: str, folder: Path) -> None:
    """Raise EngineUnusable if there is a words.json that is not lists and tables of words."""
    if not (folder / "words.json").exists():
        return
    words = object_of(name, folder, "words.json")
    for key, value in words.items():
        lists = value.values() if isinstance(value, dict) else [value]
        for entry in lists:
            texts = entry if isinstance(entry, list) else [entry] if value is not entry else [None]
            if not all(isinstance(text, str) for text in texts):
                raise EngineUnusable(
                    f"words.json of {name} cannot be used ({shown(key)} is not a list of words); "
                    "copy it again or delete it."
                )


def shown(value: object) -> str:
    """The value in a sentence, cut to 60 characters."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
