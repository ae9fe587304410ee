"""Nearest-neighbour upsampling and the convolution after it as one transposed convolution.

After upsampling by two, a 3x3 convolution reads each pixel several times. Both together equal a
transposed convolution of the small picture with stride 2 and 4x4 sums of the weights: 4/9 of the
arithmetic, and no upsampled copy to write and read. Exact up to rounding (Shi et al. 2016, "Is the
deconvolution layer the same as a convolutional layer?").
"""

from __future__ import annotations

from typing import Any, TypeGuard

import torch
from diffusers.models.upsampling import Upsample2D
from torch import nn

from turbostream import private_names
from turbostream.engine.rewrite.originals import Originals
from turbostream.engine.rewrite.swap import swap
from turbostream.library_check import usable


def stretched(weight: torch.Tensor, axis: int) -> torch.Tensor:
    """The three weights along `axis` as the four weights of a transposed convolution.

    A pixel of the small picture contributes to four pixels of the large one: to the two outer ones
    once, through the last and the first weight, and to the two inner ones twice, through two
    neighbouring weights.
    """
    first, middle, last = weight.split(1, axis)
    return torch.cat((last, middle + last, first + middle, first), axis)


@torch.no_grad()
def transposed(conv: nn.Conv2d) -> nn.ConvTranspose2d:
    """conv(nearest(x, 2)) for a `foldable` `conv`: [B, C, H, W] to [B, O, 2H, 2W]."""
    large = nn.ConvTranspose2d(
        conv.in_channels, conv.out_channels, 4, stride=2, padding=1, device="meta"
    )
    large.weight, large.bias = nn.Parameter(_sums(conv), requires_grad=False), conv.bias
    return large


def _sums(conv: nn.Conv2d) -> torch.Tensor:
    """The weight of `transposed(conv)`, [C, O, 4, 4]."""
    weight = stretched(stretched(conv.weight.float(), 2), 3).transpose(0, 1).to(conv.weight)
    return weight.contiguous(memory_format=torch.channels_last)


class Upsample(nn.Module):
    """diffusers' Upsample2D as a transposed convolution; the original for other factors than 2."""

    def __init__(self, plain: Upsample2D, originals: Originals | None = None) -> None:
        """originals: what of `plain` may change later."""
        super().__init__()
        conv: Any = plain.conv
        self.twice, self.odd_sizes = transposed(conv), plain
        if originals is not None:
            weight = self.twice.weight
            originals.derived([conv.weight], lambda: _copy(weight, _sums(conv)), weight)

    def forward(self, x: torch.Tensor, output_size: tuple[int, int] | None = None) -> torch.Tensor:
        if output_size is not None and tuple(output_size) != (2 * x.shape[2], 2 * x.shape[3]):
            upsampled: torch.Tensor = self.odd_sizes(x, output_size)
            return upsampled
        twice: torch.Tensor = self.twice(x)
        return twice


def _copy(weight: torch.Tensor, new: torch.Tensor) -> None:
    weight.copy_(new)


def fold(module: nn.Module, originals: Originals | None = None) -> int:
    """Replace diffusers' enlargements below `module`; returns how many. originals: what may change
    later."""
    if not usable(private_names.ENLARGEMENT):
        return 0

    def folded(child: nn.Module) -> nn.Module | None:
        doubles = isinstance(child, Upsample2D) and foldable(child, child.conv)
        return Upsample(child, originals) if doubles else None

    return swap(module, folded)


def foldable(plain: Upsample2D | nn.Upsample, conv: object) -> bool:
    """Nearest-neighbour upsampling by two followed by a 3x3 convolution, and nothing else."""
    if isinstance(plain, Upsample2D):
        nearest = plain.interpolate and plain.norm is None
    else:
        nearest = (plain.mode, plain.scale_factor) == ("nearest", 2)
    return nearest and three_by_three(conv)


def three_by_three(conv: object) -> TypeGuard[nn.Conv2d]:
    """An ordinary 3x3 convolution that preserves the size."""
    return (
        isinstance(conv, nn.Conv2d)
        and (conv.kernel_size, conv.stride, conv.padding) == ((3, 3), (1, 1), (1, 1))
        and (conv.dilation, conv.groups, conv.padding_mode) == ((1, 1), 1, "zeros")
    )
