"""Enlarging and convolving as convolutions of the small picture.

Nearest-neighbour enlargement by two shows a 3x3 convolution each pixel several times. Its output
is four pictures, one for each parity of row and column, and each is a 2x2 convolution of the small
picture with sums of the weights: 4/9 of the arithmetic, and no enlarged copy to write and read.
Exact but for rounding (Shi et al. 2016, "Is the deconvolution layer the same as a convolutional
layer?").
"""

from __future__ import annotations

import torch
from torch import nn


class UpsampledConv(nn.Module):
    """conv(nearest(x, 2)) for a 3x3 convolution with padding 1.

    One convolution for the even rows and one for the odd ones. Each makes for every pixel of the
    small picture, and one beyond the edge, an odd column's pixel and then an even one's: but for
    the first and the last number a row of the small picture is a row of the large one as it lies.
    """

    @torch.no_grad()
    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.even, self.odd = _rows(conv, 0), _rows(conv, 1)
        self.channels = conv.out_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, O, 2H, 2W] of [B, C, H, W]."""
        batch, _, high, wide = x.shape
        rows = []
        for parity, conv in enumerate((self.even, self.odd)):
            row = conv(x).permute(0, 2, 3, 1).flatten(2)  # channels_last: nothing is moved
            row = row[:, parity : parity + high, self.channels : -self.channels]
            rows.append(row.view(torch.complex128) if self._sixteen(x) else row)
        pixels = torch.stack(rows, 2).view(x.dtype)
        return pixels.view(batch, 2 * high, 2 * wide, self.channels).permute(0, 3, 1, 2)

    def _sixteen(self, x: torch.Tensor) -> bool:
        """Whether rows can be copied in numbers of 16 bytes: PyTorch copies what has gaps number
        by number."""
        return self.channels * x.element_size() % 16 == 0


def foldable(plain: nn.Upsample, conv: object) -> bool:
    """Nearest neighbours by two, and a 3x3 convolution after them."""
    return (
        (plain.mode, plain.scale_factor) == ("nearest", 2)
        and isinstance(conv, nn.Conv2d)
        and (conv.kernel_size, conv.stride, conv.padding) == ((3, 3), (1, 1), (1, 1))
        and (conv.dilation, conv.groups, conv.padding_mode) == ((1, 1), 1, "zeros")
    )


def _rows(conv: nn.Conv2d, parity: int) -> nn.Conv2d:
    """The 2x2 convolution for the even or the odd rows of the large picture."""
    kernel = _pairs(conv.weight.float(), 2)[parity]
    even, odd = _pairs(kernel, 3)
    weight = torch.cat((odd, even)).to(conv.weight).contiguous(memory_format=torch.channels_last)
    rows = nn.Conv2d(conv.in_channels, 2 * conv.out_channels, 2, padding=1, device="meta")
    rows.weight = nn.Parameter(weight, requires_grad=False)
    rows.bias = None
    if conv.bias is not None:
        rows.bias = nn.Parameter(conv.bias.repeat(2), requires_grad=False)
    return rows


def _pairs(weight: torch.Tensor, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
    """For the even and the odd pixels of the large picture along `axis`. An even one and the next
    show the same pixel of the small picture: an even one sees it with the last two of the three
    weights, an odd one with the first two."""
    first, middle, last = weight.split(1, axis)
    return torch.cat((first, middle + last), axis), torch.cat((first + middle, last), axis)
