"""A shot's noise, generated on the CPU so that it is identical on every machine."""

from __future__ import annotations

import math
from functools import lru_cache

import torch

from turbostream.stream.scene import Shot


@lru_cache(maxsize=64)
def gaussian(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Unit noise of `shape` in fp32. Do not modify it: the cache shares it."""
    generator = torch.Generator(device="cpu").manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float32)


def noise_of(shot: Shot, shape: tuple[int, ...]) -> torch.Tensor:
    """The shot's noise, fp32 of `shape`: a point on the great circle between its two seeds.

    cos² + sin² = 1 keeps the variance at one. A plain average of two seeds would not, and breaks
    one-step models.
    """
    first = gaussian(shot.seed_from, shape)
    if shot.angle == 0:
        return first
    second = gaussian(shot.seed_to, shape)
    return math.cos(shot.angle) * first + math.sin(shot.angle) * second
