"""White noise of another size that keeps the coarse structure of the noise that it is derived from.

Each cell of the noise is taken as the integral of a continuous white noise over its area. That
noise is integrated over the cells of the new grid: the known integrals decide the coarse structure,
and new random numbers decide what lies below the old grid. The result is exactly white noise of
unit variance. At a multiple of the old size the normalised sum of each block of new cells is the
old cell. (Chang et al., "How I Warped Your Noise", ICLR 2024, integral noise; here in closed form
for each axis, so any ratio of sizes is possible.) Pure functions of tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

import torch

Normal = Callable[[tuple[int, ...]], torch.Tensor]  # independent unit noise of a shape


class Pieces(NamedTuple):
    """An axis cut at the borders of both grids. length: in old cells. old, new: the cell of each
    grid that a piece lies in."""

    length: list[float]
    old: list[int]
    new: list[int]


def resized(noise: torch.Tensor, size: tuple[int, int], normal: Normal) -> torch.Tensor:
    """`noise` [C, H, W] on a grid of `size` (H', W'); `normal` gives the random numbers."""
    for axis, cells in zip((-2, -1), size, strict=True):
        if noise.shape[axis] != cells:
            noise = _along(noise.movedim(axis, -1), cells, normal).movedim(-1, axis)
    return noise.contiguous()


def _along(noise: torch.Tensor, cells: int, normal: Normal) -> torch.Tensor:
    """`noise` [..., W] with `cells` cells along the last axis.

    A cell X is divided into pieces of lengths l, which sum to 1. Given X, their integrals are
    l * X + sqrt(l) * g - l * sum(sqrt(l) * g) for unit noise g: the bridge of a Brownian motion.
    """
    old_cells = noise.shape[-1]
    pieces = _pieces(old_cells, cells)
    length = torch.tensor(pieces.length)
    own = length.sqrt() * normal((*noise.shape[:-1], len(pieces.length)))
    left = noise - _summed(own, pieces.old, old_cells)
    integrals = own + length * left[..., pieces.old]
    return _summed(integrals, pieces.new, cells) * math.sqrt(cells / old_cells)


def _summed(values: torch.Tensor, groups: list[int], count: int) -> torch.Tensor:
    """The sum of each group of neighbours along the last axis, added in their order: the same on
    every machine. groups: rising, from 0 to count - 1."""
    members: list[list[int]] = [[] for _ in range(count)]
    for place, group in enumerate(groups):
        members[group].append(place)
    most = max(map(len, members))
    padded = torch.cat((values, torch.zeros_like(values[..., :1])), -1)
    total = torch.zeros(())
    for turn in range(most):
        total = total + padded[..., [(m[turn] if turn < len(m) else -1) for m in members]]
    return total


@lru_cache(maxsize=16)
def _pieces(old: int, new: int) -> Pieces:
    borders = sorted(
        {Fraction(n) for n in range(old + 1)} | {Fraction(n * old, new) for n in range(new + 1)}
    )
    pieces = list(zip(borders, borders[1:], strict=False))
    return Pieces(
        [float(end - start) for start, end in pieces],
        [math.floor(start) for start, _ in pieces],
        [math.floor(start * new / old) for start, _ in pieces],
    )
