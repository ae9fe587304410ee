"""What a UNet takes of the words: a prompt's one embedding, taken apart.

Follows from the UNet's configuration, so the process that compiles needs no family. Runs inside
CUDA graphs and compiled code: no decision depends on a tensor's values, and nothing is copied from
the host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

TIME_IDS = 6  # height and width, of the original; top and left, of the crop; height and width

# (embedding [B, rows, hidden], sample [B, C, H/8, W/8]) -> (the words that cross attention reads
# [B, tokens, hidden], more keyword arguments of the UNet)
Condition = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, dict[str, Any]]]


def condition_of(unet: Any, vae_scale: int) -> Condition:
    """How this UNet takes its words. vae_scale: pixels of a picture's side per value of the
    latents."""
    if getattr(getattr(unet, "config", None), "addition_embed_type", None) != "text_time":
        return _words
    sizes = TIME_IDS * unet.config.addition_time_embed_dim
    width = unet.config.projection_class_embeddings_input_dim - sizes

    def pooled(
        embedding: torch.Tensor, sample: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        """SDXL: the last row is the pooled embedding. A picture counts as an original of its own
        size, without a crop, as in diffusers' pipeline."""
        high, wide = (side * vae_scale for side in sample.shape[-2:])
        time_ids = embedding.new_zeros(embedding.shape[0], TIME_IDS)
        time_ids[:, 0:1], time_ids[:, 4:5] = high, high
        time_ids[:, 1:2], time_ids[:, 5:6] = wide, wide
        more = {"text_embeds": embedding[:, -1, :width], "time_ids": time_ids}
        return embedding[:, :-1], {"added_cond_kwargs": more}

    return pooled


def _words(embedding: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor, dict[str, Any]]:
    return embedding, {}
