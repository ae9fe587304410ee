"""Words to embeddings, once per prompt."""

from __future__ import annotations

from collections import OrderedDict

import torch
from transformers import CLIPTextModel, CLIPTokenizer

CACHED_PROMPTS = 256  # of at most 77 x 1024 fp16 numbers: 40 MB


class TextEncoder:
    """A bounded cache before the text encoder; the engine's thread only."""

    def __init__(self, tokenizer: CLIPTokenizer, encoder: CLIPTextModel) -> None:
        self._tokenizer = tokenizer
        self._encoder = encoder
        self._cache: OrderedDict[str, torch.Tensor] = OrderedDict()

    def __call__(self, prompt: str) -> torch.Tensor:
        """The embedding of `prompt`, [1, tokens, hidden]. Words past the limit are cut, as CLIP
        has it."""
        known = self._cache.get(prompt)
        if known is not None:
            self._cache.move_to_end(prompt)
            return known
        tokens = self._tokenizer(
            prompt,
            padding="max_length",
            max_length=self._tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        ids = tokens.input_ids.to(self._encoder.device)
        embedding = self._encoder(ids)[0]
        self._cache[prompt] = embedding
        if len(self._cache) > CACHED_PROMPTS:
            self._cache.popitem(last=False)
        return embedding
