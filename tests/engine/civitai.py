"""Writes a small pipeline as a single file in the key format of CivitAI, which has no writer in
diffusers: its own mapping tables, read backwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers.loaders import single_file_utils as tables
from safetensors.torch import save_file

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def pipeline(seed: int = 0) -> Any:
    """Of the shape of Stable Diffusion 1, with random weights and the demo model's words."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    from tests.engine import conftest

    pipe = conftest.pipeline(seed)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=128,
        attention_head_dim=4,
        norm_num_groups=8,
    )
    vae = AutoencoderKL(
        block_out_channels=(16, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=8,
        sample_size=16,
    )
    pipe.register_modules(unet=unet, vae=vae)
    for part in (unet, vae):
        part.eval().requires_grad_(False)
    return pipe


def write(pipe: Any, file: Path, **metadata: str) -> None:
    """The pipeline's weights as one file, and no configs."""
    keys = {f"model.diffusion_model.{k}": v for k, v in _unet(pipe.unet).items()}
    keys |= {f"first_stage_model.{k}": v for k, v in _vae(pipe.vae).items()}
    words = pipe.text_encoder.state_dict()
    prefix = "cond_stage_model.transformer.text_model."
    keys |= {prefix + k.removeprefix("text_model."): v for k, v in words.items()}
    save_file({key: value.contiguous() for key, value in keys.items()}, file, metadata or None)


def _moved(key: str, new: str, old: str, renamed: dict[str, str]) -> str:
    inside = key.removeprefix(new + ".")
    for ours, theirs in renamed.items():
        if inside.startswith(ours + "."):
            return f"{old}.{theirs}{inside.removeprefix(ours)}"
    return f"{old}.{inside}"


def _places(unet: Any) -> dict[str, tuple[str, dict[str, str]]]:
    """diffusers' module -> the place in the single file, and the names inside."""
    layers, found = unet.config.layers_per_block, {}
    for b in range(len(unet.down_blocks)):
        for i in range(layers):
            block = b * (layers + 1) + i + 1
            found[f"down_blocks.{b}.resnets.{i}"] = f"input_blocks.{block}.0", RESNET
            found[f"down_blocks.{b}.attentions.{i}"] = f"input_blocks.{block}.1", {}
        down = f"input_blocks.{(b + 1) * (layers + 1)}.0.op"
        found[f"down_blocks.{b}.downsamplers.0.conv"] = down, {}
    for i, resnet in enumerate((0, 2)):
        found[f"mid_block.resnets.{i}"] = f"middle_block.{resnet}", RESNET
    found["mid_block.attentions.0"] = "middle_block.1", {}
    for b, block in enumerate(unet.up_blocks):
        for i in range(layers + 1):
            place = f"output_blocks.{b * (layers + 1) + i}"
            found[f"up_blocks.{b}.resnets.{i}"] = f"{place}.0", RESNET
            found[f"up_blocks.{b}.attentions.{i}"] = f"{place}.1", {}
        last = f"output_blocks.{b * (layers + 1) + layers}"
        place = f"{last}.{2 if hasattr(block, 'attentions') else 1}.conv"
        found[f"up_blocks.{b}.upsamplers.0.conv"] = place, {}
    return found


def _unet(unet: Any) -> dict[str, torch.Tensor]:
    plain = tables.DIFFUSERS_TO_LDM_MAPPING["unet"]["layers"]
    places, found = _places(unet), {}
    for key, value in unet.state_dict().items():
        place = next((new for new in places if key.startswith(new + ".")), None)
        name = _moved(key, place, *places[place]) if place else plain[key]
        found[name] = value
    return found


def _vae(vae: Any) -> dict[str, torch.Tensor]:
    plain = tables.DIFFUSERS_TO_LDM_MAPPING["vae"]
    blocks, found = len(vae.decoder.up_blocks), {}
    for key, value in vae.state_dict().items():
        name = plain.get(key) or key.replace("mid_block.attentions.0", "mid.attn_1")
        for i in (0, 1):
            name = name.replace(f"mid_block.resnets.{i}", f"mid.block_{i + 1}")
        for b in range(blocks):
            name = name.replace(f"down_blocks.{b}.resnets", f"down.{b}.block")
            name = name.replace(f"down_blocks.{b}.downsamplers.0", f"down.{b}.downsample")
            name = name.replace(f"up_blocks.{b}.resnets", f"up.{blocks - 1 - b}.block")
            name = name.replace(f"up_blocks.{b}.upsamplers.0", f"up.{blocks - 1 - b}.upsample")
        name = name.replace("conv_shortcut", "nin_shortcut")
        if "attn_1." in name:
            for ours, theirs in ATTENTION.items():
                name = name.replace(f".{ours}.", f".{theirs}.")
            if name.endswith("weight") and value.ndim == 2:
                value = value[:, :, None, None]
        found[name] = value
    return found
