"""Stable Diffusion XL (SDXL-Turbo): two text encoders, a pooled embedding and time ids.

The pooled embedding is the last row of a prompt's one embedding, padded with zeros, so that mixing,
caching and staging need not know of it; `condition.py` takes the rows apart.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from turbostream.engine.model.families.family import Family
from turbostream.engine.model.prompt_encoder import PromptEncoder

PENULTIMATE = -2  # of the hidden states: the layer before the last, without the final norm


class TwoEncoders(PromptEncoder):
    """Both text encoders' hidden states side by side, and the second one's pooled embedding."""

    def __init__(self, tokenizers: tuple[Any, Any], encoders: tuple[Any, Any]) -> None:
        super().__init__(tokenizers[0], encoders[0])
        self._tokenizers, self._encoders = tokenizers, encoders

    def _ids(self, prompt: str) -> torch.Tensor:
        """[2, tokens]: the tokenizers pad with different tokens."""
        return torch.cat([self._tokens(one, prompt) for one in self._tokenizers])

    def _forward(self, ids: torch.Tensor) -> torch.Tensor:
        """[1, tokens + 1, hidden of both] of token ids [2, tokens]."""
        first, second = (
            encoder(row[None], output_hidden_states=True)
            for encoder, row in zip(self._encoders, ids, strict=True)
        )
        words = torch.cat([one.hidden_states[PENULTIMATE] for one in (first, second)], -1)
        pooled = second.text_embeds
        room = words.shape[-1] - pooled.shape[-1]
        row = torch.nn.functional.pad(pooled, (0, room))[:, None]
        return torch.cat([words, row.to(words.dtype)], 1)


def _read(pipe: Any) -> PromptEncoder:
    return TwoEncoders((pipe.tokenizer, pipe.tokenizer_2), (pipe.text_encoder, pipe.text_encoder_2))


FAMILY = Family(
    StableDiffusionXLPipeline,
    {
        "unet": UNet2DConditionModel,
        "vae": "AutoencoderKL",
        "text_encoder": CLIPTextModel,
        "text_encoder_2": CLIPTextModelWithProjection,
        "tokenizer": CLIPTokenizer,
        "tokenizer_2": CLIPTokenizer,
        "scheduler": "EulerDiscreteScheduler",
    },
    _read,
    {"add_watermarker": False},
    ("force_zeros_for_empty_prompt",),
)
