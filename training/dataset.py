"""Prompts as arrays on the device: generated once, before training, by many processes."""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPTokenizer

from training import phrases, tokens, vocabulary
from training.scene import NO_THING, column

CHUNK = 10_000
# Bright colours, and the colours that they are mistaken for if they are rendered too dark.
HARD_COLOURS = ("orange", "brown", "yellow", "white", "grey")


@dataclass
class Prompts:
    """Token ids and the recipes that they mean, row by row."""

    token_ids: Tensor  # [N, MAX_TOKENS]
    recipes: Tensor  # [N, columns]
    texts: list[str]


def tokenize(tokenizer: CLIPTokenizer, texts: list[str]) -> np.ndarray:
    """[N, MAX_TOKENS], padded as in the pipeline."""
    rows = tokenizer(
        texts, padding="max_length", max_length=tokens.MAX_TOKENS, truncation=True
    ).input_ids
    return np.array(rows, dtype=np.int16)


def write_chunk(job: tuple[int, int, bool]) -> tuple[list[str], np.ndarray, np.ndarray]:
    texts, rows = phrases.write(*job)
    return texts, tokenize(tokens.build(), texts), np.array(rows, dtype=np.uint8)


def make(seed: int, amount: int, held: bool = False, workers: int = 1) -> Prompts:
    """Generate `amount` prompts; the same for the same seed, for any number of workers.

    Workers are forked, so call this before CUDA is used.
    """
    sizes = [min(CHUNK, amount - at) for at in range(0, amount, CHUNK)]
    jobs = [(seed * 100_003 + k, size, held) for k, size in enumerate(sizes)]
    if workers > 1:
        with multiprocessing.get_context("fork").Pool(workers) as pool:
            chunks = pool.map(write_chunk, jobs, chunksize=1)
    else:
        chunks = [write_chunk(job) for job in jobs]
    return Prompts(
        torch.from_numpy(np.concatenate([ids for _, ids, _ in chunks]).astype(np.int64)),
        torch.from_numpy(np.concatenate([rows for _, _, rows in chunks]).astype(np.int64)),
        [text for texts, _, _ in chunks for text in texts],
    )


def hard(recipes: Tensor) -> Tensor:
    """How hard each recipe's colour is to render [B]: 0, 1, or 3 if small or with a pattern."""
    colours = [list(vocabulary.COLOURS).index(name) for name in HARD_COLOURS]
    there = column(recipes, "thing") != NO_THING
    size = column(recipes, "size")
    fine = (column(recipes, "pattern") > 0) | (size == 1) | (size == 2)
    is_hard = torch.isin(column(recipes, "colour"), torch.tensor(colours))
    return (there & is_hard) * (1 + 2 * fine)
