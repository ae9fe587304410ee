"""What a UNet takes of the words: a prompt's one embedding, taken apart.

Follows from the UNet's configuration, so the process that compiles needs no family. Runs inside
CUDA graphs and compiled code: no decision depends on a tensor's values, and nothing is copied from
the host.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import torch

# The default of diffusers' LatentConsistencyModelPipeline, for models that take a guidance scale.
GUIDANCE = 8.5
TIME_IDS = 6  # height and width, of the original; top and left, of the crop; height and width

# (embedding [B, rows, hidden], sample [B, C, H/8, W/8], guidance scales [B] in fp32 or None for
# GUIDANCE) -> (the words that cross attention reads [B, tokens, hidden], more keyword arguments of
# the UNet)
Scales: TypeAlias = torch.Tensor | None
Condition = Callable[[torch.Tensor, torch.Tensor, Scales], tuple[torch.Tensor, dict[str, Any]]]


def condition_of(unet: Any, vae_scale: int) -> Condition:
    """How this UNet takes its words. vae_scale: pixels of a picture's side per value of the
    latents."""
    config = getattr(unet, "config", None)
    words: Condition = _words
    if getattr(config, "addition_embed_type", None) == "text_time":
        words = _pooled(config, vae_scale)
    size = getattr(config, "time_cond_proj_dim", None)
    return words if size is None else _guided(words, size)


def takes_guidance(unet: Any) -> bool:
    """Whether the UNet takes the guidance scale as an input."""
    return getattr(getattr(unet, "config", None), "time_cond_proj_dim", None) is not None


def _words(
    embedding: torch.Tensor, _: torch.Tensor, __: Scales = None
) -> tuple[torch.Tensor, dict[str, Any]]:
    return embedding, {}


def _pooled(config: Any, vae_scale: int) -> Condition:
    """SDXL: the last row is the pooled embedding. A picture counts as an original of its own size,
    without a crop, as in diffusers' pipeline."""
    sizes = TIME_IDS * config.addition_time_embed_dim
    width = config.projection_class_embeddings_input_dim - sizes

    def pooled(
        embedding: torch.Tensor, sample: torch.Tensor, _: Scales = None
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        high, wide = (side * vae_scale for side in sample.shape[-2:])
        time_ids = embedding.new_zeros(embedding.shape[0], TIME_IDS)
        time_ids[:, 0:1], time_ids[:, 4:5] = high, high
        time_ids[:, 1:2], time_ids[:, 5:6] = wide, wide
        more = {"text_embeds": embedding[:, -1, :width], "time_ids": time_ids}
        return embedding[:, :-1], {"added_cond_kwargs": more}

    return pooled


def _guided(words: Condition, size: int) -> Condition:
    """Latent consistency models distilled with guidance: beside the time, the UNet takes the
    guidance scale that it imitates, as an embedding of `size` values. Source:
    get_guidance_scale_embedding in diffusers' LatentConsistencyModelPipeline."""

    def guided(
        embedding: torch.Tensor, sample: torch.Tensor, scales: Scales = None
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        tokens, more = words(embedding, sample, None)
        if scales is None:
            scales = embedding.new_full(embedding.shape[:1], GUIDANCE, dtype=torch.float32)
        half = size // 2
        exponents = torch.arange(half, device=embedding.device, dtype=torch.float32)
        frequencies = torch.exp(exponents * (-math.log(10_000) / (half - 1)))
        angles = frequencies * ((scales - 1) * 1000)[:, None]
        scale = torch.cat([torch.sin(angles), torch.cos(angles)], -1)
        scale = torch.nn.functional.pad(scale, (0, size % 2)).to(embedding.dtype)
        return tokens, {**more, "timestep_cond": scale}

    return guided
