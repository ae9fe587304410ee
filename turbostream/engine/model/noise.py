"""A shot's noise, drawn on the CPU so that it is the same on every machine; the engine's thread.

Knows seeds and weights, and nothing of prompts or of what the noise becomes. `resized_noise.py`
gives it another size.
"""

from __future__ import annotations

from functools import lru_cache

import torch

from turbostream.engine.model.resized_noise import resized
from turbostream.stream.shot import Noise

Shape = tuple[int, ...]


@lru_cache(maxsize=256)
def gaussian(seed: int, shape: Shape, drawn: Shape | None = None, number: int = 0) -> torch.Tensor:
    """Noise of unit variance, fp32 of `shape`. Do not modify it: the cache shares it.

    drawn: the shape [C, H, W] that it is drawn at; if that is another, the noise of `shape` is
    derived from it. That is linear in the seed's random numbers, so a mix of seeds is derived from
    the same mix of the drawn noise.

    number: 0 for the noise that a picture starts from; k for the noise that is added after its
    k-th step, by schedulers that add any. Noise k is what the seed's generator gives next after
    k draws of the drawn shape, so it has the same coarse structure at every size. (What fills in
    the details of noise k at another size comes from the same numbers as noise k + 1.)
    """
    generator = torch.Generator(device="cpu").manual_seed(seed)

    def normal(wanted: Shape) -> torch.Tensor:
        return torch.randn(wanted, generator=generator, dtype=torch.float32)

    for _ in range(number):
        normal(drawn or shape)
    return resized(normal(drawn or shape), (shape[-2], shape[-1]), normal)


def noise_of(
    noise: Noise, shape: Shape, drawn: Shape | None = None, number: int = 0
) -> torch.Tensor:
    """The weighted sum of the seeds' noise, fp32 of `shape`; do not modify it either.

    drawn, number: as for `gaussian`; every number has the same weights. The terms are added in the
    order of `noise`, each product rounded to fp32 first: another order changes single bits, and so
    the picture.
    """
    (seed, weight), *others = noise
    total = gaussian(seed, shape, drawn, number)
    if weight != 1:
        total = weight * total
    for seed, weight in others:
        total = total + weight * gaussian(seed, shape, drawn, number)
    return total
