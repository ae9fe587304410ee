"""Enlarging and convolving as one transposed convolution.

Nearest-neighbour enlargement by two shows a 3x3 convolution each pixel several times. Both
together are a transposed convolution of the small picture, of stride two and with 4x4 sums of the
weights: 4/9 of the arithmetic, and no enlarged copy to write and read. Exact but for rounding
(Shi et al. 2016, "Is the deconvolution layer the same as a convolutional layer?").
"""

from __future__ import annotations

from typing import TypeGuard

import torch
from diffusers.models.upsampling import Upsample2D
from torch import nn

from turbostream import private_names
from turbostream.engine.rewrite.swap import swap
from turbostream.library_check import usable


def stretched(weight: torch.Tensor, axis: int) -> torch.Tensor:
    """Three weights along `axis` as the four with which a pixel of the small picture meets the
    four of the large one around it: the two outer ones see it once, with the last and the first
    weight; the two inner ones twice, with two neighbouring weights."""
    first, middle, last = weight.split(1, axis)
    return torch.cat((last, middle + last, first + middle, first), axis)


@torch.no_grad()
def transposed(conv: nn.Conv2d) -> nn.ConvTranspose2d:
    """conv(nearest(x, 2)) for a `conv` that is `foldable`: [B, O, 2H, 2W] of [B, C, H, W]."""
    large = nn.ConvTranspose2d(
        conv.in_channels, conv.out_channels, 4, stride=2, padding=1, device="meta"
    )
    weight = stretched(stretched(conv.weight.float(), 2), 3).transpose(0, 1).to(conv.weight)
    weight = weight.contiguous(memory_format=torch.channels_last)
    large.weight, large.bias = nn.Parameter(weight, requires_grad=False), conv.bias
    return large


class Enlarge(nn.Module):
    """diffusers' Upsample2D as a transposed convolution; itself for sizes that are not twice."""

    def __init__(self, plain: Upsample2D) -> None:
        super().__init__()
        self.twice, self.odd_sizes = transposed(plain.conv), plain

    def forward(self, x: torch.Tensor, output_size: tuple[int, int] | None = None) -> torch.Tensor:
        if output_size is not None and tuple(output_size) != (2 * x.shape[2], 2 * x.shape[3]):
            enlarged: torch.Tensor = self.odd_sizes(x, output_size)
            return enlarged
        twice: torch.Tensor = self.twice(x)
        return twice


def fold(module: nn.Module) -> int:
    """Replace diffusers' enlargements below `module`; returns how many."""
    if not usable(private_names.ENLARGEMENT):
        return 0

    def folded(child: nn.Module) -> nn.Module | None:
        doubles = isinstance(child, Upsample2D) and foldable(child, child.conv)
        return Enlarge(child) if doubles else None

    return swap(module, folded)


def foldable(plain: Upsample2D | nn.Upsample, conv: object) -> bool:
    """Nearest neighbours by two, a 3x3 convolution after them, and nothing else."""
    if isinstance(plain, Upsample2D):
        nearest = plain.interpolate and plain.norm is None
    else:
        nearest = (plain.mode, plain.scale_factor) == ("nearest", 2)
    return nearest and three_by_three(conv)


def three_by_three(conv: object) -> TypeGuard[nn.Conv2d]:
    """An ordinary 3x3 convolution that keeps the size."""
    return (
        isinstance(conv, nn.Conv2d)
        and (conv.kernel_size, conv.stride, conv.padding) == ((3, 3), (1, 1), (1, 1))
        and (conv.dilation, conv.groups, conv.padding_mode) == ((1, 1), 1, "zeros")
    )
