"""AutoencoderTiny's decoder with bias, addition and ReLU fused into its convolutions.

The decoder (TAESD's architecture, Ollin Boer Bohan, MIT) consists of convolutions with at most 64
channels at full resolution, where the memory passes for bias, skip connection and ReLU cost as
much as the arithmetic, on GPUs and CPUs alike. cuDNN and oneDNN both have convolutions that
include them. On a CPU the weights are also packed once instead of on every call.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.autoencoders.vae import AutoencoderTinyBlock, DecoderTiny
from torch import nn

from turbostream.engine.rewrite.joined import JoinedConvs
from turbostream.engine.rewrite.packed import PackedConv, pack
from turbostream.engine.rewrite.upsampled import foldable, three_by_three, transposed


class CudnnConv(nn.Module):
    """A convolution with ReLU by cuDNN's fused kernels; CUDA only, fp16, channels_last."""

    bias: torch.Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight = conv.weight
        bias = conv.bias
        if bias is None:
            bias = conv.weight.new_zeros(conv.out_channels)
        self.register_buffer("bias", bias.detach(), persistent=False)
        self.geometry = (conv.stride, conv.padding, conv.dilation, conv.groups)

    def forward(self, x: torch.Tensor, add: torch.Tensor | None = None) -> torch.Tensor:
        if add is None:
            return torch.cudnn_convolution_relu(x, self.weight, self.bias, *self.geometry)
        return torch.cudnn_convolution_add_relu(x, self.weight, add, 1.0, self.bias, *self.geometry)


class FusedBlock(nn.Module):
    """An AutoencoderTinyBlock in three kernels."""

    def __init__(self, block: AutoencoderTinyBlock, conv: type[nn.Module]) -> None:
        super().__init__()
        first, _, second, _, third = block.conv
        self.first, self.second, self.third = conv(first), conv(second), conv(third)
        self.skip = block.skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.third(self.second(self.first(x)), self.skip(x))


def fuse(decoder: DecoderTiny, device: str) -> bool:
    """Rewrite `decoder` in place; False if it is not supported."""
    if not isinstance(decoder, DecoderTiny) or device not in ("cuda", "cpu"):
        return False
    conv: Any = CudnnConv if device == "cuda" else _relu_packed
    layers: list[nn.Module] = []
    upsampling: nn.Conv2d | None = None  # the convolution that the last of `layers` was built from
    for layer in decoder.layers:
        before, upsampling = upsampling, None
        if isinstance(layer, AutoencoderTinyBlock):
            if not isinstance(layer.conv[1], nn.ReLU):
                return False
            layers.append(FusedBlock(layer, conv))
        elif isinstance(layer, nn.ReLU) and layers and isinstance(layers[-1], nn.Conv2d):
            layers[-1] = conv(layers[-1])
        elif layers and isinstance(layers[-1], nn.Upsample) and foldable(layers[-1], layer):
            layers[-1], upsampling = transposed(layer), layer
        elif before is not None and before.bias is None and three_by_three(layer):
            layers[-1] = JoinedConvs(before, layer)
        else:
            layers.append(layer)
    decoder.layers = nn.Sequential(*layers)
    if device == "cpu":
        pack(decoder)
    return True


def _relu_packed(conv: nn.Conv2d) -> PackedConv:
    return PackedConv(conv, relu=True)
