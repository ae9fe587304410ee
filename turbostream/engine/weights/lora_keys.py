"""The names of a LoRA file's tensors: which module each belongs to, and what kind of file it is.

Two formats are read: that of diffusers and PEFT (`unet.mid_block...to_q.lora_A.weight`, and the
older `.lora.down.weight` and `.processor.to_q_lora.down.weight`) and that of kohya-ss
(`lora_unet_mid_block_..._to_q.lora_down.weight`, with an `.alpha` for each module). No torch.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

# Endings of the first matrix (down, A), with those of the second (up, B).
ENDINGS = {
    ".lora_A.weight": ".lora_B.weight",
    ".lora_A.default.weight": ".lora_B.default.weight",
    ".lora.down.weight": ".lora.up.weight",
    ".lora_linear_layer.down.weight": ".lora_linear_layer.up.weight",
    "_lora.down.weight": "_lora.up.weight",
    ".lora_down.weight": ".lora_up.weight",
}
KOHYA = {
    "lora_unet_": "unet",
    "lora_te_": "text_encoder",
    "lora_te1_": "text_encoder",
    "lora_te2_": "text_encoder_2",
}
DOTTED = {
    "unet.": "unet",
    "text_encoder.": "text_encoder",
    "text_encoder_2.": "text_encoder_2",
    "base_model.model.": "unet",
}
_UNET = ("down_blocks", "mid_block", "up_blocks", "conv_in", "conv_out", "time_embedding",
         "add_embedding")  # fmt: skip
_OLD_TEXT = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}
# What is not the product of two matrices, by a part of the tensors' names.
OTHERS = {
    "hada_w": "a LoHa",
    "lokr_w": "a LoKr",
    "dora_scale": "a DoRA",
    "lora_magnitude_vector": "a DoRA",
    "oft_": "an OFT adapter",
    "lora_mid": "a LoRA in Tucker form",
    ".lora_B.bias": "a LoRA with biases",
}
_TRANSFORMERS = ("transformer.", "lora_transformer_", "lora_unet_double_blocks",
                 "lora_unet_single_blocks", "lora_unet_joint_blocks", "diffusion_model.",
                 "double_blocks", "single_blocks")  # fmt: skip


@dataclass(frozen=True)
class Target:
    """The two matrices of one module.

    part: unet, text_encoder or text_encoder_2. module: its name in that part, with _ in place of
    the dots, as kohya-ss writes it. down, up: the names of the tensors [rank, ...] and [..., rank].
    alpha: the name of the scalar by which, over the rank, they are multiplied; None: there is none.
    """

    part: str
    module: str
    down: str
    up: str
    alpha: str | None


def targets_of(keys: Collection[str]) -> tuple[Target, ...]:
    """The modules that the file changes, in the order of its tensors; `keys` passed `refusal`."""
    found = []
    for key in keys:
        split = _split(key)
        if split is None:
            continue
        stem, up = split
        part, module = _place(stem, key.endswith("_lora.down.weight"))
        alpha = f"{stem}.alpha"
        found.append(Target(part, module, key, up, alpha if alpha in keys else None))
    return tuple(found)


def refusal(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Why a file with these tensors is not a LoRA that can be used, as a clause; empty if it is."""
    for part, what in OTHERS.items():
        if any(part in key for key in shapes):
            return f"it is {what}, and this program merges only LoRAs of two matrices per module"
    pairs = [split for key in shapes if (split := _split(key)) is not None]
    if not pairs:
        if any(re.match(r"(model\.diffusion_model|cond_stage_model)\.", key) for key in shapes):
            return "it is a whole model and not a LoRA; give it as MODEL_ID"
        if any(key.startswith(_UNET) for key in shapes):
            return "it is the UNet of a model and not a LoRA"
        return "its tensors have none of the names that diffusers, PEFT and kohya-ss give a LoRA"
    if any(key.startswith(_TRANSFORMERS) for key in shapes):
        return (
            "it is a LoRA for a transformer model such as Flux or SD3, and this program runs "
            "Stable Diffusion's UNets"
        )
    known = {up for _, up in pairs} | {f"{stem}.alpha" for stem, _ in pairs}
    for key in shapes:
        if _split(key) is None and key not in known:
            return f"its tensor {key[:80]} belongs to no pair of matrices"
    for key in shapes:
        split = _split(key)
        if split is None:
            continue
        down, up = shapes[key], shapes.get(split[1], ())
        if len(down) not in (2, 4) or len(up) not in (2, 4) or down[0] != up[1]:
            return f"the matrices of {split[0][:80]} do not fit each other"
        if not _place(split[0], True)[0]:
            return f"its tensor {key[:80]} names no part of a Stable Diffusion model"
    return ""


def _split(key: str) -> tuple[str, str] | None:
    """(the module's part of the name, the name of the second matrix) of a first matrix."""
    for ending, second in ENDINGS.items():
        if key.endswith(ending):
            stem = key.removesuffix(ending)
            return stem, stem + second
    return None


def _place(stem: str, is_old: bool) -> tuple[str, str]:
    """(part, module with _ for dots); the part is empty where the name has none. is_old: whether
    the layer is named as in diffusers before PEFT."""
    for prefix, part in KOHYA.items():
        if stem.startswith(prefix):
            return part, stem.removeprefix(prefix)
    part = ""
    for prefix, named in DOTTED.items():
        if stem.startswith(prefix):
            part, stem = named, stem.removeprefix(prefix)
            break
    if not part and stem.startswith(_UNET):
        part = "unet"
    path, _, layer = stem.replace(".processor.", ".").rpartition(".")
    if is_old and layer == "to_out" and part == "unet":
        layer = "to_out.0"
    if is_old and part != "unet":
        layer = _OLD_TEXT.get(layer, layer)
    return part, f"{path}.{layer}".strip(".").replace(".", "_")
