"""The pictures that steps start from: fetched, and encoded to latents.

The pixels come from the resolver that the engine was opened with; the model's own encoder, which
encodes them, is part of the graph. Runs on the engine's thread; knows no scene, and not where a
picture comes from.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from turbostream import private_names
from turbostream.engine.model.inputs import Input, Value
from turbostream.engine.model.step import Encode
from turbostream.engine.rewrite import tiny_encoder
from turbostream.library_check import usable
from turbostream.stream.engine_api import Resolve
from turbostream.stream.shot import ShotError, Source


class TinyEncoder(nn.Module):
    """AutoencoderTiny's encoder; diffusers' own takes -1 to 1, and converts that back to 0 to 1."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.layers = encoder.layers

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Unscaled latents [B, C, H/8, W/8] of pictures in 0 to 1, [B, 3, H, W]."""
        latents: torch.Tensor = self.layers(pictures)
        return latents


class KLEncoder(nn.Module):
    """Stable Diffusion's full encoder (AutoencoderKL): the mean of its distribution, since a sample
    of it would make the same shot another picture."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.encoder, self.quant_conv = vae.encoder, vae.quant_conv

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Unscaled latents [B, C, H/8, W/8] of pictures in 0 to 1, [B, 3, H, W]."""
        moments = self.encoder(pictures * 2 - 1)
        if self.quant_conv is not None:
            moments = self.quant_conv(moments)
        mean: torch.Tensor = moments.chunk(2, 1)[0]
        return mean


def encoder_of(vae: Any, device: str) -> nn.Module | None:
    """The encoder of an autoencoder for pictures in 0 to 1; None where diffusers' names changed."""
    if not usable(private_names.ENCODERS):
        return None
    if type(vae).__name__ != "AutoencoderTiny":
        return KLEncoder(vae)
    tiny_encoder.fuse(vae.encoder, device)
    return TinyEncoder(vae.encoder)


class Pictures:
    """What a model paints from: a resolver's pictures, and the encoder of their latents."""

    def __init__(self, encode: Encode, resolve: Resolve) -> None:
        self.encode, self._resolve = encode, resolve

    def input(self, width: int, height: int) -> Input:
        """width, height: of the painted picture, in pixels."""
        return Input("source", (height, width, 3), torch.uint8, staged=True)

    def value(self, source: Source, width: int, height: int) -> Value:
        """Raises ShotError if the picture is not there."""
        pixels = self._resolve(source, width, height)
        if pixels.shape != (height, width, 3):
            raise ShotError(
                f"The shot's source is {pixels.shape[1]}x{pixels.shape[0]} pixels instead of "
                f"{width}x{height}."
            )
        pixels = pixels if pixels.flags.writeable else pixels.copy()  # torch has no other kind
        return Value(torch.from_numpy(pixels))
