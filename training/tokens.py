"""Builds the CLIP tokenizer: every known word is one token, every other word is several.

Byte-pair merges are learned from the known words only, until each of them is one token. A word that
is misspelt by one letter becomes a few tokens that the text encoder learns to read, and so does an
unknown word. Single bytes are the fallback, so there is no "unknown" token.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path

from transformers import CLIPTokenizer

from training import vocabulary

MAX_TOKENS = 40
END = "</w>"
START_TOKEN, END_TOKEN = "<|startoftext|>", "<|endoftext|>"


def byte_alphabet() -> list[str]:
    """The 256 printable characters that represent bytes in GPT-2's and CLIP's tokenizers."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in kept]
    table = {b: chr(b) for b in kept} | {b: chr(256 + i) for i, b in enumerate(rest)}
    return [table[b] for b in range(256)]


def learn_merges(vocabulary: list[str]) -> list[tuple[str, str]]:
    """Byte-pair merges, most frequent pair first, until every word is one piece."""
    spelled = [[*word[:-1], word[-1] + END] for word in vocabulary]
    merges: list[tuple[str, str]] = []
    while True:
        pairs = Counter(p for w in spelled for p in zip(w, w[1:], strict=False))
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        spelled = [merge(w, best) for w in spelled]


def merge(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    """The pieces with every occurrence of the pair merged, left to right."""
    out: list[str] = []
    for piece in pieces:
        if out and (out[-1], piece) == pair:
            out[-1] += piece
        else:
            out.append(piece)
    return out


@cache
def known_merges() -> list[tuple[str, str]]:
    return learn_merges(vocabulary.known())


def build() -> CLIPTokenizer:
    """The tokenizer of the demo model; the same for every run."""
    merges = known_merges()
    alphabet = byte_alphabet()
    pieces = [START_TOKEN, END_TOKEN, *alphabet, *(b + END for b in alphabet)]
    pieces += [a + b for a, b in merges]
    vocab = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_TOKENS)


def save(tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write the tokenizer in the folder layout that `from_pretrained` reads."""
    tokenizer.save_pretrained(str(folder))
