"""Convolutions for the CPU whose weights are laid out for oneDNN once.

PyTorch's own Conv2d reorders the weights on every call, and takes a slow path without oneDNN
for small pictures. The operators are the ones that Inductor emits for frozen CPU models
(torch/_inductor/mkldnn_lowerings.py); they are private, so that `available` asks before use.
"""

from __future__ import annotations

import torch
from torch import nn

from turbostream.engine.swap import swap


def available() -> bool:
    """False on builds of PyTorch without oneDNN (some Macs), where nothing is changed."""
    return torch.backends.mkldnn.is_available() and hasattr(
        torch.ops.mkldnn, "_convolution_pointwise"
    )


class PackedConv(nn.Module):
    """relu?(convolution + bias + add), in fp32 or bf16 on the CPU."""

    def __init__(self, conv: nn.Conv2d, relu: bool = False) -> None:
        super().__init__()
        padding, stride = list(conv.padding), list(conv.stride)  # type: ignore[arg-type]
        self._geometry = (padding, stride, list(conv.dilation), conv.groups)
        self._relu = "relu" if relu else None
        self._bias = None if conv.bias is None else conv.bias.detach()
        self._plain = conv.weight.detach()
        self._packed: dict[tuple[int, ...], torch.Tensor] = {}

    def _weight(self, shape: tuple[int, ...]) -> torch.Tensor:
        """The weights in the layout that oneDNN wants for inputs of this shape. Only one shape
        is kept: a stream has one size."""
        packed = self._packed.get(shape)
        if packed is None:
            packed = torch.ops.mkldnn._reorder_convolution_weight(
                self._plain, *self._geometry, list(shape)
            )
            self._packed = {shape: packed}
        return packed

    def forward(self, x: torch.Tensor, add: torch.Tensor | None = None) -> torch.Tensor:
        weight = self._weight(tuple(x.shape))
        if add is None:
            return torch.ops.mkldnn._convolution_pointwise(
                x, weight, self._bias, *self._geometry, self._relu or "none", [], ""
            )
        return torch.ops.mkldnn._convolution_pointwise.binary(
            x, add, weight, self._bias, *self._geometry, "add", None, self._relu, [], None
        )


def pack(module: nn.Module) -> int:
    """Replace every plain Conv2d below `module` by a packed one; returns how many."""

    def packed(child: nn.Module) -> nn.Module | None:
        plain = type(child) is nn.Conv2d and child.padding_mode == "zeros"
        return PackedConv(child) if plain else None

    return swap(module, packed)
