"""A shot's noise, drawn on the CPU so that it is the same on every machine; the engine's thread.

Knows seeds and weights, and nothing of prompts or of what the noise becomes.
"""

from __future__ import annotations

from functools import lru_cache

import torch

from turbostream.stream.shot import Noise


@lru_cache(maxsize=64)
def gaussian(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Noise of unit variance, fp32 of `shape`. Do not modify it: the cache shares it."""
    generator = torch.Generator(device="cpu").manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float32)


def noise_of(noise: Noise, shape: tuple[int, ...]) -> torch.Tensor:
    """The weighted sum of the seeds' noise, fp32 of `shape`; do not modify it either.

    The terms are added in the order of `noise`, each product rounded to fp32 first: another order
    changes single bits, and so the picture.
    """
    (seed, weight), *others = noise
    total = gaussian(seed, shape)
    if weight != 1:
        total = weight * total
    for seed, weight in others:
        total = total + weight * gaussian(seed, shape)
    return total
