"""How much of a prompt the text encoder reads; imports no torch, callable on any thread.

A CLIP tokenizer cuts tokens past its limit without reporting them. Each call reconfigures the
tokenizer object, so another thread must not use it; this is a copy that neither cuts nor pads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from tokenizers import Tokenizer


class TokenLimit:
    """The token limit of a `transformers` tokenizer. A tokenizer that is not backed by the
    `tokenizers` package (as in the benchmarks) reports nothing."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokens: int = tokenizer.model_max_length
        self._tokenizer: Tokenizer | None = None
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is not None:
            self._tokenizer = Tokenizer.from_str(backend.to_str())
            self._tokenizer.no_truncation()
            self._tokenizer.no_padding()
        self.dropped = self._cached()

    def __getstate__(self) -> dict[str, Any]:
        return {"tokens": self.tokens, "_tokenizer": self._tokenizer}  # a cache has no pickled form

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.dropped = self._cached()

    def _cached(self) -> Callable[[str], str]:
        return lru_cache(maxsize=64)(self._dropped)

    def _dropped(self, prompt: str) -> str:
        """The end of `prompt` that the model ignores, from the first word that it does not read
        completely; empty if it reads everything."""
        if self._tokenizer is None:
            return ""
        encoded = self._tokenizer.encode(prompt)  # with the start and end tokens
        if len(encoded.ids) <= self.tokens:
            return ""
        start: int = encoded.offsets[self.tokens - 1][0]
        while start and prompt[start - 1].isalnum() and prompt[start].isalnum():
            start -= 1
        return prompt[start:]
