"""AutoencoderTiny's decoder with bias, addition and ReLU fused into its convolutions.

The decoder (TAESD's architecture, Ollin Boer Bohan, MIT) is convolutions of 64 channels or fewer
at full resolution: on a GPU and on a CPU alike the passes over memory for bias, skip and ReLU
cost as much as the arithmetic. cuDNN and oneDNN both have a convolution that includes them; where
its private name has changed, they are passes again. On a CPU the weights are also laid out once
instead of on every call. Runs on the engine's thread.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from diffusers.models.autoencoders.vae import AutoencoderTinyBlock, DecoderTiny
from torch import nn

from turbostream import private_names
from turbostream.engine.rewrite import joined, packed
from turbostream.engine.rewrite.upsampled import foldable, three_by_three, transposed
from turbostream.library_check import usable


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


class PlainConv(nn.Module):
    """The same as three operators, on any device."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: torch.Tensor, add: torch.Tensor | None = None) -> torch.Tensor:
        convolved = self.conv(x)
        return (convolved if add is None else convolved + add).relu()


class FusedBlock(nn.Module):
    """An AutoencoderTinyBlock as three fused convolutions."""

    def __init__(self, block: AutoencoderTinyBlock, conv: Callable[..., nn.Module]) -> None:
        super().__init__()
        first, _, second, _, third = block.conv
        self.first, self.second, self.third = conv(first), conv(second), conv(third)
        self.skip = block.skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.third(self.second(self.first(x)), self.skip(x))


def fuse(decoder: DecoderTiny, device: str) -> bool:
    """Rewrite `decoder` in place; False, and nothing is changed, if it is of another kind."""
    if not isinstance(decoder, DecoderTiny) or device not in ("cuda", "cpu"):
        return False
    if not usable(private_names.TINY_DECODER):
        return False
    conv = fused_convolution(device)
    layers: list[nn.Module] = []
    upsampling: nn.Conv2d | None = None  # the convolution that the last of `layers` was built from
    for layer in decoder.layers:
        before, upsampling = upsampling, None
        if isinstance(layer, AutoencoderTinyBlock):
            if len(layer.conv) != 5 or not isinstance(layer.conv[1], nn.ReLU):
                return False
            layers.append(FusedBlock(layer, conv))
        elif isinstance(layer, nn.ReLU) and layers and isinstance(layers[-1], nn.Conv2d):
            layers[-1] = conv(layers[-1])
        elif layers and isinstance(layers[-1], nn.Upsample) and foldable(layers[-1], layer):
            layers[-1], upsampling = transposed(layer), layer
        elif before is not None and before.bias is None and three_by_three(layer):
            enlarged = layers.pop()
            layers += joined.join(enlarged, before, layer)
        else:
            layers.append(layer)
    decoder.layers = nn.Sequential(*layers)
    if device == "cpu" and packed.available():
        packed.pack(decoder)
    return True


def fused_convolution(device: str) -> Callable[[nn.Conv2d], nn.Module]:
    """What makes a module of (x, add) -> relu(convolution(x) + bias + add) of a convolution."""
    if device == "cuda":
        return CudnnConv if usable(private_names.CUDNN) else PlainConv
    if packed.available():
        return lambda conv: packed.PackedConv(conv, relu=True)
    return PlainConv
