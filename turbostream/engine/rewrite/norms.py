"""Group normalization and concatenation along NHWC rows, a form that Inductor compiles well.

For `nn.GroupNorm` Inductor copies the input to NCHW, or reads an NHWC input with a stride of all
channels; on an H100 this was most of the 28 % of a frame that its kernels took. In the form below
it generates three kernels with contiguous reads: sums along the rows (fused with the preceding
bias, sum or concatenation), sums over rows and channels, and the normalization (fused with what
follows). Only for compilation: run eagerly this takes more passes than PyTorch's kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from turbostream.engine.rewrite.swap import swap


class RowsGroupNorm(nn.Module):
    """`nn.GroupNorm` with the same weights, for channels_last, in fp32 inside."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self.groups, self.eps = norm.num_groups, norm.eps
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] in the dtype of `x`."""
        pixels = x.permute(0, 2, 3, 1).float()
        batch, high, wide, channels = pixels.shape
        width = channels // self.groups
        sums = torch.stack((pixels.sum(2), (pixels * pixels).sum(2)))  # [2, B, H, C]
        sums = sums.view(2, batch, high, self.groups, width).sum((2, 4))
        mean, square = (sums / (high * wide * width)).unbind()
        scale = torch.rsqrt(square - mean * mean + self.eps).unsqueeze(2)
        scale = scale * self.weight.float().view(self.groups, width)  # [B, groups, width]
        shift = self.bias.float().view(self.groups, width) - mean.unsqueeze(2) * scale
        scale, shift = (one.view(batch, 1, 1, channels) for one in (scale, shift))
        return (pixels * scale + shift).to(x.dtype).permute(0, 3, 1, 2)


class RowsCat(TorchFunctionMode):
    """While active, channels are concatenated along the last axis of NHWC. Inductor (torch 2.11)
    would otherwise write the result in NCHW, which the following kernels read with a stride."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.cat and kwargs.get("dim") == 1 and args[0][0].ndim == 4:
            rows = torch.cat([one.permute(0, 2, 3, 1) for one in args[0]], dim=3)
            return rows.permute(0, 3, 1, 2)
        return func(*args, **kwargs)


def rewrite(module: nn.Module) -> int:
    """Replace every GroupNorm below `module`; returns how many."""

    def by_rows(child: nn.Module) -> nn.Module | None:
        return RowsGroupNorm(child) if type(child) is nn.GroupNorm and child.affine else None

    return swap(module, by_rows)
