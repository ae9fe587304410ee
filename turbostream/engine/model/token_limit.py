"""How much of a prompt the text encoder reads; imports no torch, any thread may ask.

A CLIP tokenizer cuts what is past its limit and does not report it. Its object is reconfigured by
each call, so another thread must not use it; this is a copy that neither cuts nor pads.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from tokenizers import Tokenizer


class TokenLimit:
    """The limit of a `transformers` tokenizer; one without a tokenizer of `tokenizers` behind it
    (a benchmark's) reports nothing."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokens: int = tokenizer.model_max_length
        self._tokenizer: Tokenizer | None = None
        whole = getattr(tokenizer, "backend_tokenizer", None)
        if whole is not None:
            self._tokenizer = Tokenizer.from_str(whole.to_str())
            self._tokenizer.no_truncation()
            self._tokenizer.no_padding()
        self.dropped = lru_cache(maxsize=64)(self._dropped)

    def _dropped(self, prompt: str) -> str:
        """The end of `prompt` that is not read, from the first word that is not read whole;
        empty where all is."""
        if self._tokenizer is None:
            return ""
        encoded = self._tokenizer.encode(prompt)  # with the marks of its begin and its end
        if len(encoded.ids) <= self.tokens:
            return ""
        start: int = encoded.offsets[self.tokens - 1][0]
        while start and prompt[start - 1].isalnum() and prompt[start].isalnum():
            start -= 1
        return prompt[start:]
