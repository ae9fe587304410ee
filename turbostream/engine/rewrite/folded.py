"""Folds constants into the UNet's weights: the time embedding, and fused attention projections.

From noise alone a one-step model runs at t = 999, so each residual block's share of the time
embedding is a constant and is added to the bias of the block's first convolution (exact up to
rounding: 1e-6 in fp32); `timesteps.py` has what is added at other t, from a picture. Query, key and
value of self attention become one projection, by diffusers' own `fuse_projections`. Each technique
uses private names of diffusers, and is left out where they have changed (`library_check.usable`).
Runs on the engine's thread, and in the process that compiles.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any, TypeGuard

import torch
from diffusers.models import attention_processor
from diffusers.models.resnet import ResnetBlock2D, ResnetBlockCondNorm2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import nn

from turbostream import private_names
from turbostream.engine.rewrite import upsampled
from turbostream.engine.rewrite.originals import Originals, Refresh
from turbostream.engine.rewrite.swap import swap
from turbostream.library_check import usable


class FoldedBlock(nn.Module):
    """A ResnetBlock2D whose time embedding is part of `conv1.bias`.

    projection: (weight [channels, embedding], bias [channels]) that gave its share of the time
    embedding, where it is kept; not parameters, and taken away by `timesteps.TimeTable`. part: its
    channels among the differences of all blocks, once there is a table. when_changed: has another
    refresh called when the time embedding has changed; None where it cannot change.
    """

    def __init__(self, block: ResnetBlock2D, embedding: torch.Tensor, keep: bool = False) -> None:
        """embedding: the UNet's time embedding, [1, channels]. keep: keep the projection."""
        super().__init__()
        self.norm1, self.norm2, self.act = block.norm1, block.norm2, block.nonlinearity
        self.conv1, self.conv2, self.shortcut = block.conv1, block.conv2, block.conv_shortcut
        self.scale = float(block.output_scale_factor)
        self.conv1.bias.add_(block.time_emb_proj(self.act(embedding))[0])
        projection = block.time_emb_proj
        kept = (projection.weight.detach(), projection.bias.detach()) if keep else ()
        self.projection: tuple[torch.Tensor, ...] = kept
        self.part: slice | None = None
        self.when_changed: Callable[[Refresh], None] | None = None

    def forward(
        self, sample: torch.Tensor, differences: torch.Tensor | None = None
    ) -> torch.Tensor:
        """differences: [B, total], what all blocks add at a timestep that is not the folded one;
        ignored (the UNet's time embedding) where there is no table."""
        hidden = self.conv1(self.act(self.norm1(sample)))
        if differences is not None and self.part is not None:
            hidden = hidden + differences[:, self.part, None, None]
        hidden = self.conv2(self.act(self.norm2(hidden)))
        shortcut = sample if self.shortcut is None else self.shortcut(sample)
        hidden = shortcut + hidden
        return hidden if self.scale == 1.0 else hidden / self.scale


def _foldable(block: nn.Module) -> TypeGuard[ResnetBlock2D]:
    return (
        isinstance(block, ResnetBlock2D)
        and block.time_emb_proj is not None
        and block.time_embedding_norm == "default"
        and not block.skip_time_act
        and block.upsample is None
        and block.downsample is None
    )


def _takes_time(block: nn.Module) -> bool:
    return isinstance(block, ResnetBlockCondNorm2D) or (
        isinstance(block, ResnetBlock2D) and block.time_emb_proj is not None
    )


@torch.no_grad()
def fold_time(
    unet: Any, timestep: float, keep: bool = False, originals: Originals | None = None
) -> int:
    """Fold t into every block, if all allow it; returns how many. Once per UNet.

    keep: keep the projections, for a `timesteps.TimeTable`. originals: what may change later."""
    if not usable(private_names.TIME_EMBEDDING):
        return 0
    special = ("class_embed_type", "addition_embed_type", "time_cond_proj_dim")
    if any(unet.config.get(name) is not None for name in special):
        return 0  # the embedding depends on more than t
    timed = [module for module in unet.modules() if _takes_time(module)]
    if unet.time_embed_act is not None or not all(_foldable(block) for block in timed):
        return 0  # another t could not be told to some blocks by differences, to others as it is
    weight = next(unet.parameters())
    time = torch.full((1,), timestep, device=weight.device)
    sample = torch.empty(1, 1, device=weight.device, dtype=weight.dtype)
    embed, projected = unet.time_embedding, unet.get_time_embed(sample=sample, timestep=time)
    embedding = embed(projected)
    sources = [*embed.parameters()]
    for block in timed:
        assert isinstance(block.time_emb_proj, nn.Linear)
        sources += block.time_emb_proj.parameters()
    changing = originals is not None and originals.may_change(sources)
    refreshes: list[Callable[[torch.Tensor], object]] = []

    def when_changed(refresh: Refresh) -> None:
        assert originals is not None
        originals.derived(sources, refresh)

    def replaced(block: nn.Module) -> nn.Module | None:
        if not _foldable(block):
            return None
        if not changing:
            return FoldedBlock(block, embedding, keep)
        folded, projection = block.conv1.bias, block.time_emb_proj  # conv1 may be replaced later
        bias = folded.clone()
        replacement = FoldedBlock(block, embedding, keep)
        replacement.when_changed = when_changed

        def refresh(embedding: torch.Tensor) -> None:
            added = projection(replacement.act(embedding))[0]
            folded.copy_(bias).add_(added)

        refreshes.append(refresh)
        return replacement

    def refresh_all() -> None:
        now = embed(projected)
        for refresh in refreshes:
            refresh(now)

    count = swap(unet, replaced)
    if changing:
        when_changed(refresh_all)
    return count


@torch.no_grad()
def fuse_qkv(unet: Any, originals: Originals | None = None) -> int:
    """Fuse query, key and value of each self attention into one projection; returns how many.

    Only where diffusers' default processor is in use: xformers' processor does not support it.
    """
    if not usable(private_names.FUSED_PROJECTIONS):
        return 0
    count = 0
    for module in unet.modules():
        if (
            isinstance(module, attention_processor.Attention)
            and not module.is_cross_attention
            and type(module.processor) is attention_processor.AttnProcessor2_0
        ):
            module.fuse_projections(fuse=True)
            module.set_processor(attention_processor.FusedAttnProcessor2_0())
            row = 0
            for part in (module.to_q, module.to_k, module.to_v):
                rows = slice(row, row := row + part.out_features)
                if originals is not None:
                    originals.moved(part.weight, module.to_qkv.weight, rows)
            del module.to_q, module.to_k, module.to_v
            count += 1
    return count


def stay_in_nhwc(unet: Any) -> int:
    """Remove the copy into NCHW at the end of each transformer; returns from how many.

    diffusers ends a transformer with `.contiguous()`, so the following operators run in NCHW until
    the next convolution copies the tensor back.
    """
    if not usable(private_names.END_OF_TRANSFORMER):
        return 0
    count = 0
    for module in unet.modules():
        if isinstance(module, Transformer2DModel) and module.is_input_continuous:
            module._get_output_for_continuous_inputs = MethodType(_end_of_transformer, module)
            count += 1
    return count


def _end_of_transformer(
    self: Any,
    hidden_states: torch.Tensor,
    residual: torch.Tensor,
    batch_size: int,
    height: int,
    width: int,
    inner_dim: int,
) -> torch.Tensor:
    """Transformer2DModel's last step, [B, H * W, C] to [B, C, H, W], without the copy."""
    linear = self.use_linear_projection
    hidden = self.proj_out(hidden_states) if linear else hidden_states
    hidden = hidden.reshape(batch_size, height, width, inner_dim).permute(0, 3, 1, 2)
    output: torch.Tensor = residual + (hidden if linear else self.proj_out(hidden))
    return output


def prepare(
    unet: Any, timestep: float, keep: bool = False, originals: Originals | None = None
) -> bool:
    """Apply the rewrites that the plain and the compiled UNet share; both need the same ones.
    Returns whether the time is folded into its blocks. keep, originals: as for `fold_time`."""
    unet.requires_grad_(False)
    is_folded = fold_time(unet, timestep, keep, originals) > 0
    fuse_qkv(unet, originals)
    stay_in_nhwc(unet)
    upsampled.fold(unet, originals)
    # NHWC convolutions were measured 1.4 times as fast on two CPU cores and 1.3 times on a GPU
    # (docs/experiments/2026-11.md).
    unet.to(memory_format=torch.channels_last)
    return is_folded
