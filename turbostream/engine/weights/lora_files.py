"""LoRA files: what their headers tell, and why some cannot be used.

No torch and no diffusers. `lora_places.py` finds the files, `lora_keys.py` reads the names of their
tensors, and the engine's `lora.py` merges them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from turbostream.engine.weights import headers, model_files, single_file
from turbostream.engine.weights.lora_keys import Target, refusal, targets_of
from turbostream.stream.engine_api import EngineUnusable

WEIGHTS = "pytorch_lora_weights.safetensors"  # diffusers' own name
# By the width of the words that the cross attention reads.
FAMILIES = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: "SDXL"}


@dataclass(frozen=True)
class LoraFile:
    """An inspected file. path: of one on the hub that is not downloaded, its name there. words: the
    width of the words it was trained with; None: no tensor of it tells. scales: alpha by module,
    from the metadata, where the file has no alphas."""

    name: str
    path: Path
    targets: tuple[Target, ...]
    words: int | None
    scales: dict[str, Any]

    @property
    def family(self) -> str:
        return family_of(self.words)

    def digest(self) -> str:
        """What tells two files of one name apart: the beginning of the SHA-256."""
        with self.path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()[:12]


def family_of(words: int | None) -> str:
    """The name of the models whose words have this width."""
    return FAMILIES.get(words or 0, f"a model with words of {words} values")


def check_family(lora: LoraFile, model: str, folder: Path) -> None:
    """Raise EngineUnusable if the LoRA is for another family than the model in `folder`, which may
    be a single file."""
    words: object
    try:
        if folder.is_file():
            words = single_file.words_of(folder) or None
        else:
            config = model_files.read_object(folder / "unet" / "config.json")
            words = config.get("cross_attention_dim")
    except (OSError, ValueError):
        return  # the model's own check names what is wrong with it
    if lora.words is not None and isinstance(words, int) and words != lora.words:
        raise EngineUnusable(
            f"LORAS: {lora.name} ({lora.path.name}) is a LoRA for {lora.family}, and {model} is "
            f"{family_of(words)}: leave it out, or give a MODEL_ID of its family."
        )


def read(name: str, path: Path) -> LoraFile:
    """Inspect one file; raises EngineUnusable with one sentence that names it."""
    place = str(path)
    try:
        path = _in_folder(path) if path.is_dir() else path
        header = _header(path)
    except OSError as error:
        clause = f"it cannot be read ({error.strerror}); give a readable file"
        raise unusable(name, place, clause) from None
    except ValueError as error:
        raise unusable(name, place, str(error)) from None
    return inspected(name, place, path, header)


def inspected(name: str, place: str, path: Path, header: dict[str, Any]) -> LoraFile:
    """What a file's header tells; raises EngineUnusable, which names the file as `place`, if it is
    not the header of a LoRA that can be used."""
    entries = headers.tensors(header)
    shapes = {key: tuple(entry.get("shape", ())) for key, entry in entries.items()}
    if clause := refusal(shapes):
        raise unusable(name, place, clause)
    targets = targets_of(shapes)
    if all(target.part != "unet" for target in targets):
        raise unusable(
            name, place,
            "it changes the text encoder only; give a LoRA that changes the UNet, alone or with "
            "the text encoder",
        )  # fmt: skip
    scales = _scales(header.get("__metadata__", {}))
    return LoraFile(name, path, targets, _words(targets, shapes), scales)


def unusable(name: str, place: str, clause: str) -> EngineUnusable:
    """The error for a file that LORAS names."""
    return EngineUnusable(f"LORAS: {name} ({shortened(place)}) cannot be used: {clause}.")


def shortened(text: str) -> str:
    """The end of a place, which tells more than its beginning."""
    return text if len(text) <= 100 else "..." + text[-97:]


def _words(targets: Sequence[Target], shapes: dict[str, tuple[int, ...]]) -> int | None:
    for target in targets:
        if target.part == "unet" and re.search(r"attn2_to_[kv]$", target.module):
            return shapes[target.down][1]
    return None


def _scales(metadata: Any) -> dict[str, Any]:
    """The settings that diffusers stores with a LoRA, such as unet.lora_alpha."""
    try:
        found = json.loads(metadata["lora_adapter_metadata"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _in_folder(folder: Path) -> Path:
    files = sorted(one.name for one in folder.iterdir() if one.suffix == ".safetensors")
    if WEIGHTS in files or len(files) == 1:
        return folder / (WEIGHTS if WEIGHTS in files else files[0])
    raise ValueError(f"it is a folder with {len(files)} .safetensors files; give one file")


def _header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file; ValueError has a clause about any other file."""
    if damage := headers.damage_of_head(path):
        raise ValueError(damage)
    return headers.header_of(path)
