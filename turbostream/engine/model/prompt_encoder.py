"""Encodes prompts to embeddings, once per prompt; the engine's thread only.

On CUDA the encoder's layers are one graph on a high-priority stream: launched one by one, they
would occupy Python, and so delay the frames in flight, for 5 ms at every new prompt (SD-Turbo).
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any

import torch
from transformers import CLIPTextModel, CLIPTokenizer

from turbostream.engine.model.inputs import Capture, CapturedGraph, Value
from turbostream.engine.weights.token_limit import TokenLimit

log = logging.getLogger(__name__)

CACHED_PROMPTS = 256  # of SDXL 78 x 2048 fp16 values each: 82 MB


class PromptEncoder:
    """The text encoder behind a bounded cache. A family with several overrides `_ids` and
    `_forward`."""

    def __init__(self, tokenizer: CLIPTokenizer, encoder: CLIPTextModel) -> None:
        self._tokenizer = tokenizer
        self._encoder = encoder
        self.limit = TokenLimit(tokenizer)
        self._cache: OrderedDict[str, Value] = OrderedDict()
        self.stream: Any = None
        self._graph: CapturedGraph | None = None
        if encoder.device.type == "cuda":
            self.stream = torch.cuda.Stream(priority=-1)

    def __len__(self) -> int:
        return len(self._cache)

    def __call__(self, prompt: str) -> Value:
        """The embedding of `prompt`, [rows, hidden]: a row for each token, and what a family adds.
        Tokens past the model's limit are cut, as CLIP does; the log names the dropped text."""
        cached = self._cache.get(prompt)
        if cached is not None:
            self._cache.move_to_end(prompt)
            return cached
        if dropped := self.limit.dropped(prompt):
            log.warning(
                "[gen] The model reads %d tokens; it ignores this end of the prompt: %s",
                self.limit.tokens,
                dropped,
            )
        embedding = self._encode(self._ids(prompt))
        self._cache[prompt] = embedding
        if len(self._cache) > CACHED_PROMPTS:
            self._cache.popitem(last=False)
        return embedding

    @staticmethod
    def _tokens(tokenizer: CLIPTokenizer, prompt: str) -> torch.Tensor:
        """Token ids [1, tokens]."""
        ids: torch.Tensor = tokenizer(
            prompt,
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        return ids

    def _ids(self, prompt: str) -> torch.Tensor:
        """What `_forward` takes: a row of token ids for each encoder."""
        return self._tokens(self._tokenizer, prompt)

    def forget(self) -> None:
        """The encoder's weights have changed: encode every prompt again."""
        self._cache.clear()

    def _forward(self, ids: torch.Tensor) -> torch.Tensor:
        """The embedding [1, rows, hidden] of `_ids`."""
        embedding: torch.Tensor = self._encoder(ids)[0]
        return embedding

    def _encode(self, ids: torch.Tensor) -> Value:
        if self.stream is None:
            return Value(self._forward(ids.to(self._encoder.device))[0])
        with torch.cuda.stream(self.stream):
            if self._graph is None:
                embedding = self._forward(ids.to(self._encoder.device))
            else:
                self._graph.inputs["ids"].copy_(ids)
                self._graph.replay()
                embedding = self._graph.output.clone()
            ready = torch.cuda.Event()
            ready.record(self.stream)
        return Value(embedding[0], ready)

    def capture(self, capture: Capture) -> str:
        """Capture the encoder as a graph where possible; returns "choice: reason"."""
        if self.stream is None:
            return "plain: graphs need an NVIDIA GPU"
        ids = torch.zeros_like(self._ids(" "), device=self._encoder.device)
        try:
            self._graph = capture(self._forward, {"ids": ids}, self.stream)
        except (RuntimeError, torch.OutOfMemoryError) as error:
            return f"plain: it could not be captured ({str(error).splitlines()[0]})"
        return "graph: one launch per prompt"
