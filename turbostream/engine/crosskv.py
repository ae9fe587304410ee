"""Cross attention's keys and values, projected once per prompt instead of once per frame.

They are projections of the words alone. All layers' projections become one matrix that the text
encoder applies to each new prompt; what the UNet gets as words is its output, [B, tokens, the sum
of all keys and values], of which each layer takes its slice. Exact but for rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import nn
from torch.nn.functional import scaled_dot_product_attention


class Sliced:
    """Attention to words that are keys and values already: this layer's lie at `first`."""

    def __init__(self, first: int, width: int) -> None:
        self._key = slice(first, first + width)
        self._value = slice(first + width, first + 2 * width)

    def __call__(
        self, attention: Any, hidden: torch.Tensor, encoder_hidden_states: torch.Tensor, **_: Any
    ) -> torch.Tensor:
        words = encoder_hidden_states

        def heads(tensor: torch.Tensor) -> torch.Tensor:  # [B, heads, tokens, head width]
            return tensor.unflatten(2, (attention.heads, -1)).transpose(1, 2)

        query = heads(attention.to_q(hidden))
        key, value = heads(words[..., self._key]), heads(words[..., self._value])
        seen = scaled_dot_product_attention(query, key, value, scale=attention.scale)
        result: torch.Tensor = attention.to_out[0](seen.transpose(1, 2).flatten(2))
        return result


@torch.no_grad()
def take(unet: Any) -> nn.Linear | None:
    """Take the projections out of `unet`; None where another processor is in place (xformers')."""
    layers = [
        module
        for module in unet.modules()
        if isinstance(module, Attention) and module.is_cross_attention
    ]
    if not layers or any(type(layer.processor) is not AttnProcessor2_0 for layer in layers):
        return None
    weights, first = [], 0
    for layer in layers:
        weights += [layer.to_k.weight, layer.to_v.weight]
        width = layer.to_k.out_features
        layer.set_processor(Sliced(first, width))
        first += 2 * width
        del layer.to_k, layer.to_v
    whole = nn.Linear(weights[0].shape[1], first, bias=False, device="meta")
    whole.weight = nn.Parameter(torch.cat(weights), requires_grad=False)
    return whole
