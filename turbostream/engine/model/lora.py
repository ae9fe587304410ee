"""Merges LoRAs into a model's weights: W = W0 + the sum of weight * scale * up @ down.

The result is written into the tensors that the modules, graphs and compiled code read, so a merged
LoRA costs nothing per frame, and always computed from the unchanged W0 in fp32, so that the same
weights give the same bytes whatever came before. W0 is kept of those weights only that a LoRA
changes. `rewrite/originals.py` knows what else follows from them. Runs on the engine's thread.

Sources: Hu et al. 2021 (arXiv 2106.09685); the scale alpha / rank as in PEFT and kohya-ss.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from turbostream import private_names
from turbostream.engine.rewrite.originals import Originals
from turbostream.engine.weights.lora_files import LoraFile, family_of
from turbostream.engine.weights.lora_keys import Target
from turbostream.library_check import usable
from turbostream.stream.engine_api import EngineUnusable
from turbostream.stream.shot import Adapters

log = logging.getLogger(__name__)

TEXT = ("text_encoder", "text_encoder_2")
EMBEDDED = ("time_embedding", "add_embedding")
_STAGES = ("input_blocks", "middle_block", "output_blocks")  # of the UNet of Stability's own code


class Delta(NamedTuple):
    """What one LoRA adds to one weight, at weight 1: up @ down.

    down: [rank, inputs]; up: [outputs, rank], times the scale; both in fp32 on the device, so that
    a merge launches few kernels."""

    down: torch.Tensor
    up: torch.Tensor


class Changing(NamedTuple):
    """A weight that LoRAs change. kept: W0. deltas: by the LoRA's name. target: one of them."""

    weight: nn.Parameter
    kept: torch.Tensor
    deltas: dict[str, Delta]
    target: Target


class MergedLoras:
    """The LoRAs of one pipeline. originals: for the rewrites, which come afterwards. merged: what
    the weights are now, in the order of the shots."""

    def __init__(self, pipe: Any, files: Sequence[LoraFile] = ()) -> None:
        """pipe: before any rewrite. Raises EngineUnusable with one sentence for a LoRA that does
        not fit it."""
        self.names = tuple(file.name for file in files)
        self.merged: Adapters = ()
        self.merges = 0  # so far; rises before any weight changes
        self._unet = pipe.unet
        found: dict[int, Changing] = {}
        for file in files:
            for weight, delta, target in _deltas(pipe, file):
                if id(weight) not in found:
                    found[id(weight)] = Changing(weight, weight.detach().clone(), {}, target)
                found[id(weight)].deltas[file.name] = delta
        self._changing = tuple(found.values())
        self.originals = Originals(one.weight for one in self._changing)

    @property
    def bytes_kept(self) -> int:
        """Of the unchanged weights."""
        return sum(one.kept.nbytes for one in self._changing)

    @torch.inference_mode()
    def merge(self, adapters: Adapters) -> bool:
        """Write the weights for `adapters`; returns whether the text encoder's have changed.

        Nothing that reads the weights may be running. Only what the difference to `merged` touches
        is written."""
        before, after = dict(self.merged), dict(adapters)
        order = list(before) != list(after)
        moved = {
            name
            for name in {*before, *after}
            if before.get(name) != after.get(name) or (order and name in before)
        }
        changed = [one for one in self._changing if moved & one.deltas.keys()]
        self.merges += 1
        for one in changed:
            used = [(one.deltas[name], weight) for name, weight in adapters if name in one.deltas]
            place = self.originals.place(one.weight)
            if not used:
                place.copy_(one.kept)
                continue
            total = one.kept.flatten(1).to(torch.float32, copy=True)
            for delta, weight in used:
                total.addmm_(delta.up, delta.down, alpha=weight)
            place.copy_(total.view(one.kept.shape))
        self.originals.refresh([one.weight for one in changed])
        if any(one.target.module.startswith(EMBEDDED) for one in changed) or any(
            one.target.module.endswith("time_emb_proj") for one in changed
        ):
            self._unet.traced_for = adapters  # a traced graph may hold what was computed from them
        self.merged = adapters
        return any(one.target.part in TEXT for one in changed)


def _deltas(pipe: Any, file: LoraFile) -> Iterable[tuple[nn.Parameter, Delta, Target]]:
    """(the weight that it changes, what it adds, the names of both) for each module of the file."""

    def wrong(clause: str) -> EngineUnusable:
        return EngineUnusable(f"LORAS: {file.name} ({file.path.name}) cannot be used: {clause}.")

    parts = {part: getattr(pipe, part, None) for part in ("unet", *TEXT)}
    modules = {part: _by_name(module) for part, module in parts.items() if module is not None}
    names = _in_diffusers_names(file, pipe.unet.config)
    try:
        with safe_open(file.path, framework="pt") as tensors:
            for target in file.targets:
                name = names.get(target.down, target.module)
                module = modules.get(target.part, {}).get(name)
                if module is None:
                    raise wrong(
                        f"the model has no {target.part}.{target.module[:80]}, so it is for "
                        f"another family ({file.family}); give a LoRA for "
                        f"{family_of(pipe.unet.config.cross_attention_dim)}"
                    )
                weight = module.weight
                down, up = (tensors.get_tensor(key) for key in (target.down, target.up))
                down, up = down.flatten(1), up.flatten(1)
                shape = (len(weight), weight[0].numel())
                if (len(up), down.shape[1]) != shape or getattr(module, "groups", 1) != 1:
                    raise wrong(
                        f"its matrices for {target.part}.{target.module[:80]} make "
                        f"{len(up)}x{down.shape[1]} values where the model has "
                        f"{shape[0]}x{shape[1]}"
                    )
                if not (down.isfinite().all() and up.isfinite().all()):
                    raise wrong(f"{target.down[:80]} holds values that are no numbers")
                scale = _scale(file, target, len(down), tensors)
                if not math.isfinite(scale):
                    raise wrong(f"the alpha of {target.module[:80]} is no number")
                down, up = (half.to(weight.device, torch.float32) for half in (down, up))
                yield weight, Delta(down.contiguous(), up.contiguous() * scale), target
    except (OSError, SafetensorError) as error:
        raise wrong(f"it cannot be read ({error})") from error


def _by_name(part: nn.Module) -> dict[str, nn.Module]:
    """The linear layers and convolutions of a part by the names of `Target.module`. Versions of
    transformers differ in whether a text encoder's begin with text_model."""
    found = {}
    for name, module in part.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            flat = name.replace(".", "_")
            found[flat] = module
            found.setdefault(f"text_model_{flat}", module)
            found.setdefault(flat.removeprefix("text_model_"), module)
    return found


def _scale(file: LoraFile, target: Target, rank: int, tensors: Any) -> float:
    """alpha / rank; alpha is the file's own tensor, else that of its metadata, else the rank."""
    if target.alpha is not None:
        return float(tensors.get_tensor(target.alpha)) / rank
    settings, part = file.scales, target.part
    alpha = settings.get(f"{part}.lora_alpha", rank)
    patterns = settings.get(f"{part}.alpha_pattern") or {}
    for name, value in patterns.items():
        if f"_{target.module}".endswith("_" + name.replace(".", "_")):
            alpha = value
    return float(alpha / math.sqrt(rank) if settings.get(f"{part}.use_rslora") else alpha / rank)


def _in_diffusers_names(file: LoraFile, config: Any) -> dict[str, str]:
    """The modules of a file that names the UNet's as Stability's own code does, by the name of
    their first matrix; empty for a file that does not."""
    stages = {
        target.down: target.module
        for target in file.targets
        if target.part == "unet" and target.module.startswith(_STAGES)
    }
    if not stages or not usable(private_names.LORA_BLOCKS):
        return {}
    from diffusers.loaders import lora_conversion_utils

    blocks = {f"lora_unet_{module}.lora_down.weight": down for down, module in stages.items()}
    found = {}
    for name, down in blocks.items():
        (mapped,) = lora_conversion_utils._maybe_map_sgm_blocks_to_diffusers({name: 0}, config)
        module = mapped.removeprefix("lora_unet_").removesuffix(".lora_down.weight")
        for theirs, ours in _LAYERS.items():
            module = module.replace(theirs, ours)
        found[down] = module
    return found


_LAYERS = {
    "input_blocks_0_0": "conv_in",
    "input_blocks": "down_blocks",
    "middle_block": "mid_block",
    "output_blocks": "up_blocks",
    "in_layers_2": "conv1",
    "out_layers_3": "conv2",
    "emb_layers_1": "time_emb_proj",
    "skip_connection": "conv_shortcut",
    "downsamplers_0_op": "downsamplers_0_conv",
}
