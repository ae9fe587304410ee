"""An enlargement and the two convolutions after it as one convolution of the small picture.

The demo model's decoder ends this way: nothing is between its last two convolutions, and two linear
maps in a row are one. Each pixel of the small picture becomes four, so the joint convolution makes
four times the channels, which are then placed side by side (the sub-pixel convolution of Shi et al.
2016, arXiv 1609.05158). Exact except for rounding. Worth 6 to 12 % of the demo model's frame on a
CPU (docs/experiments/2026-11.md); TAESD has a block between the two, and is left as it is. `join`
compares the result before it is used. Runs on the engine's thread.
"""

from __future__ import annotations

import logging

import torch
from torch import nn
from torch.nn import functional

from turbostream.engine.rewrite.upsampled import stretched

log = logging.getLogger(__name__)

LIMIT = 0.01  # relative error; rounding is 1e-6 in fp32 and 1e-3 in fp16


class JoinedConvs(nn.Module):
    """second(first(nearest(x, 2))): [B, O, 2H, 2W] of [B, C, H, W]; 3x3 with padding 1 both.

    `second` sees zeros beyond the edges, and the joint convolution sees what `first` would give
    there. What that adds to the outermost pixels is subtracted again: `first` along the small
    picture's edges, then the row of `second`'s weights that overlaps it.
    """

    rows: torch.Tensor
    rows_after: torch.Tensor
    columns: torch.Tensor
    columns_after: torch.Tensor

    @torch.no_grad()
    def __init__(self, first: nn.Conv2d, second: nn.Conv2d) -> None:
        super().__init__()
        one, two = first.weight.float(), second.weight.float()
        large = stretched(stretched(one, 2), 3).transpose(0, 1)  # [C, M, 4, 4]
        joint = functional.conv2d(large, two, padding=2)  # [C, O, 6, 6]: x is at every other one
        four = [joint[:, :, y::2, x::2].flip(2, 3).transpose(0, 1) for y in (0, 1) for x in (0, 1)]
        weight = torch.cat(four).to(second.weight)
        self.conv = nn.Conv2d(first.in_channels, len(weight), 3, padding=1, device="meta")
        self.conv.weight = nn.Parameter(
            weight.contiguous(memory_format=torch.channels_last), requires_grad=False
        )
        self.conv.bias = nn.Parameter(
            weight.new_zeros(len(weight)) if second.bias is None else second.bias.repeat(4),
            requires_grad=False,
        )
        for name, axis in (("rows", 2), ("columns", 3)):  # the top or left edge, then the other
            edges = torch.cat((one.select(axis, 2), one.select(axis, 0)), 1)
            after = torch.cat((two.select(axis, 0), two.select(axis, 2)))
            self._keep(name, stretched(edges, 2).transpose(0, 1).to(second.weight))
            self._keep(f"{name}_after", after.to(second.weight))

    def _keep(self, name: str, weight: torch.Tensor) -> None:
        self.register_buffer(name, weight.contiguous(), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, _, high, wide = x.shape
        four = self.conv(x).permute(0, 2, 3, 1).reshape(batch, high, wide, 2, 2, -1)
        pixels = four.transpose(2, 3).reshape(batch, 2 * high, 2 * wide, -1).permute(0, 3, 1, 2)
        ends = torch.cat((x[:, :, 0], x[:, :, -1]), 1)
        # The corners belong to the rows, which go one pixel further on both sides.
        ends = functional.conv_transpose1d(ends, self.rows, stride=2, groups=2)
        above, below = functional.conv1d(ends, self.rows_after, groups=2).chunk(2, 1)
        ends = torch.cat((x[..., 0], x[..., -1]), 1)
        ends = functional.conv_transpose1d(ends, self.columns, stride=2, padding=1, groups=2)
        left, right = functional.conv1d(ends, self.columns_after, padding=1, groups=2).chunk(2, 1)
        pixels[:, :, 0] -= above
        pixels[:, :, -1] -= below
        pixels[..., 0] -= left
        pixels[..., -1] -= right
        return pixels


@torch.no_grad()
def join(enlarged: nn.Module, first: nn.Conv2d, second: nn.Conv2d) -> list[nn.Module]:
    """One module for `enlarged`, which is first(nearest(x, 2)), and `second` after it; the two as
    they are, with one line in the log, where one module gives another picture."""
    joint = JoinedConvs(first, second)
    count = first.in_channels * 4 * 6
    small = torch.linspace(-1, 1, count).sin().reshape(1, -1, 4, 6).to(second.weight)
    apart = second(enlarged(small)).float()
    error = float((joint(small).float() - apart).norm() / apart.norm())
    if error <= LIMIT:  # not for nan
        return [joint]
    log.warning(
        "[init] the decoder's last two convolutions stay apart: joined they differ by %.2g.", error
    )
    return [enlarged, second]
