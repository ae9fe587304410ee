"""Writes LoRA files of random matrices for a pipeline, and merges them the obvious way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from turbostream.engine.weights.lora_files import LoraFile, read

RANK = 4
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
CONVOLUTIONS = ("conv1", "conv2", "conv_shortcut", "proj_in", "conv", "conv_in", "conv_out")


def layers(pipe: Any, names: Sequence[str], part: str = "unet") -> dict[str, torch.nn.Module]:
    """The layers of a part whose names end with one of `names`."""
    return {
        name: module
        for name, module in getattr(pipe, part).named_modules()
        if any(f".{name}".endswith(f".{ending}") for ending in names)
        and isinstance(module, torch.nn.Linear | torch.nn.Conv2d)
    }


def matrices(
    module: torch.nn.Module, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """(down, up) of a layer, large enough to change every picture."""
    weight: Any = module.weight
    size = 2 * float(weight.std()) / RANK**0.5
    if weight.ndim == 2:
        down, up = (RANK, weight.shape[1]), (len(weight), RANK)
    else:
        down, up = (RANK, *weight.shape[1:]), (len(weight), RANK, 1, 1)
    first = torch.randn(down, generator=generator)
    return first, torch.randn(up, generator=generator) * size


def write(
    path: Path,
    pipe: Any,
    names: Sequence[str] = ATTENTION,
    text: Sequence[str] = (),
    kohya: bool = False,
    seed: int = 1,
    alpha: float | None = None,
) -> LoraFile:
    """A LoRA of the layers `names` of the UNet and `text` of the text encoder, inspected."""
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for part, endings in (("unet", names), ("text_encoder", text)):
        found = layers(pipe, endings, part)
        assert found or not endings, endings
        for name, module in found.items():
            down, up = matrices(module, generator)
            if kohya:
                prefix = "lora_unet_" if part == "unet" else "lora_te_text_model_"
                stem = prefix + name.replace(".", "_")
                tensors |= {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
            else:
                stem = f"{part}.{name}"
                tensors |= {f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up}
            if alpha is not None:
                tensors[f"{stem}.alpha"] = torch.tensor(alpha)
    save_file({key: value.contiguous() for key, value in tensors.items()}, path)
    return read(path.stem, path)


@torch.no_grad()
def merge_plainly(pipe: Any, file: LoraFile, weight: float) -> None:
    """Add the LoRA to the untouched modules of diffusers' pipeline, one by one in fp64."""
    tensors = load_file(file.path)
    for target in file.targets:
        part = getattr(pipe, target.part)
        flat = {name.replace(".", "_"): module for name, module in part.named_modules()}
        module: Any = flat[target.module.removeprefix("text_model_")]
        down, up = tensors[target.down].double(), tensors[target.up].double()
        alpha = RANK if target.alpha is None else float(tensors[target.alpha])
        delta = torch.einsum("or,ri->oi", up.flatten(1), down.flatten(1)) * (alpha / RANK)
        module.weight.add_((delta * weight).reshape(module.weight.shape))
