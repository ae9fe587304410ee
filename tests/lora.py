"""A LoRA for the demo model, with random weights."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from turbostream.engine import weights


def write_lora(path: Path, seed: int) -> Path:
    """A file of rank 2 for all attention of the UNet."""
    from diffusers import UNet2DConditionModel

    generator = torch.Generator().manual_seed(seed)
    unet = UNet2DConditionModel.from_pretrained(weights.DEMO_FOLDER / "unet")
    tensors = {}
    for name, module in unet.named_modules():
        if isinstance(module, torch.nn.Linear) and name.endswith(("to_q", "to_k", "to_v")):
            for part, shape in (("A", (2, module.in_features)), ("B", (module.out_features, 2))):
                key = f"unet.{name}.lora_{part}.weight"
                tensors[key] = torch.randn(shape, generator=generator) * 0.3
    save_file(tensors, path)
    return path
