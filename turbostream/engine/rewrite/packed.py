"""CPU convolutions with weights packed for oneDNN once.

PyTorch's own Conv2d reorders the weights on every call, and takes a slow path without oneDNN
for small pictures. The operators are the ones that Inductor emits for frozen CPU models
(torch/_inductor/mkldnn_lowerings.py). They are private: `available` checks them before use.
Runs on the engine's thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from turbostream import private_names
from turbostream.engine.rewrite.originals import Originals
from turbostream.engine.rewrite.swap import swap
from turbostream.library_check import usable


def available() -> bool:
    """False where PyTorch is built without oneDNN (some Macs) or has other operators; nothing is
    packed there."""
    return torch.backends.mkldnn.is_available() and usable(private_names.PACKED)


class Packed(nn.Module):
    """A layer's weights in the layout that oneDNN prefers for the shape of its input."""

    def __init__(self, layer: nn.Conv2d | nn.ConvTranspose2d, geometry: tuple[Any, ...]) -> None:
        super().__init__()
        self._geometry = geometry
        self._bias = None if layer.bias is None else layer.bias.detach()
        self._plain = layer.weight.detach()
        self._packed: dict[tuple[int, ...], torch.Tensor] = {}

    _reorder: Callable[..., torch.Tensor]

    def _weight(self, shape: tuple[int, ...]) -> torch.Tensor:
        """The packed weights for this input shape. Only one is kept: a stream has one size, and
        every batch, doubled by guidance or not, uses those for a batch of one."""
        shape = (1, *shape[1:])
        packed = self._packed.get(shape)
        if packed is None:
            packed = self._reorder(self._plain, *self._geometry, list(shape))
            self._packed = {shape: packed}
        return packed

    def refresh(self) -> None:
        """The layer's weight has changed; in place, since a traced graph holds the packed one."""
        for shape, packed in self._packed.items():
            packed.copy_(self._reorder(self._plain, *self._geometry, list(shape)))


class PackedConv(Packed):
    """relu?(convolution + bias + add), in fp32 or bf16 on the CPU."""

    def __init__(self, conv: nn.Conv2d, relu: bool = False) -> None:
        padding, stride = list(conv.padding), list(conv.stride)  # type: ignore[arg-type]
        super().__init__(conv, (padding, stride, list(conv.dilation), conv.groups))
        self._relu = "relu" if relu else None
        self._reorder = torch.ops.mkldnn._reorder_convolution_weight

    def forward(self, x: torch.Tensor, add: torch.Tensor | None = None) -> torch.Tensor:
        weight = self._weight(tuple(x.shape))
        if add is None:
            return torch.ops.mkldnn._convolution_pointwise(
                x, weight, self._bias, *self._geometry, self._relu or "none", [], ""
            )
        return torch.ops.mkldnn._convolution_pointwise.binary(
            x, add, weight, self._bias, *self._geometry, "add", None, self._relu, [], None
        )


class PackedTransposed(Packed):
    """A transposed convolution + bias, in fp32 or bf16 on the CPU."""

    def __init__(self, conv: nn.ConvTranspose2d) -> None:
        padding, outer = list(conv.padding), list(conv.output_padding)  # type: ignore[arg-type]
        geometry = (padding, outer, list(conv.stride), list(conv.dilation), conv.groups)
        super().__init__(conv, geometry)
        self._reorder = torch.ops.mkldnn._reorder_convolution_transpose_weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.mkldnn._convolution_transpose_pointwise(
            x, self._weight(tuple(x.shape)), self._bias, *self._geometry, "none", [], ""
        )


def pack(module: nn.Module, originals: Originals | None = None) -> int:
    """Replace every plain convolution below `module` with a packed one; returns how many.
    originals: what may change later."""

    def packed(child: nn.Module) -> nn.Module | None:
        replacement: PackedConv | PackedTransposed
        if type(child) is nn.Conv2d and child.padding_mode == "zeros":
            replacement = PackedConv(child)
        elif type(child) is nn.ConvTranspose2d:
            replacement = PackedTransposed(child)
        else:
            return None
        if originals is not None:
            originals.derived([child.weight], replacement.refresh)
        return replacement

    return swap(module, packed)
