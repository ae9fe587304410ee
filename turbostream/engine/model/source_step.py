"""The step from a picture: what it takes besides noise and words, and what it is made of.

The picture's pixels are fetched by the resolver that the engine was opened with, and encoded by the
model's own encoder, which is part of the graph. A strength selects one of the model's timesteps.
Runs on the engine's thread; knows no scene, and not where a picture comes from.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from turbostream import private_names
from turbostream.engine.device.hardware import Hardware
from turbostream.engine.model.inputs import Declaration, Input, Tensors, Value, Values
from turbostream.engine.model.step import DenoiseSource, Encode, Schedule, scales_of
from turbostream.engine.rewrite import tiny_encoder
from turbostream.engine.rewrite.timesteps import TimeTable
from turbostream.engine.rewrite.traced import TracedGraph
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


class FromSource(nn.Module):
    """Encoder and step: the declared inputs to latents."""

    def __init__(self, encode: Encode, denoise: DenoiseSource) -> None:
        super().__init__()
        self.encode, self.denoise = encode, denoise

    def forward(
        self,
        noise: torch.Tensor,
        prompt_embedding: torch.Tensor,
        source: torch.Tensor,
        scales: torch.Tensor,
        time: torch.Tensor,
    ) -> torch.Tensor:
        """As `DenoiseSource`, from uint8 RGB [B, H, W, 3] instead of the picture's latents."""
        latents: torch.Tensor = self.denoise(
            noise, prompt_embedding, self.encode(source), scales, time
        )
        return latents


def encoder_of(vae: Any, device: str) -> nn.Module | None:
    """The encoder of an autoencoder for pictures in 0 to 1; None where diffusers' names changed."""
    if not usable(private_names.ENCODERS):
        return None
    if type(vae).__name__ != "AutoencoderTiny":
        return KLEncoder(vae)
    tiny_encoder.fuse(vae.encoder, device)
    return TinyEncoder(vae.encoder)


class SourceStep:
    """How a model paints from a picture."""

    def __init__(
        self,
        unet: Any,
        encoder: nn.Module,
        scaling: float,
        schedule: Schedule,
        sigmas: list[float],
        hardware: Hardware,
        is_folded: bool,
        resolve: Resolve,
        encoder_dtype: torch.dtype,
    ) -> None:
        """unet: after `folded.prepare`, which returned `is_folded`. sigmas: by timestep.
        encoder_dtype: of the encoder's weights."""
        device, dtype = hardware.device, hardware.dtype
        self._resolve, self._sigmas, self._prediction = resolve, sigmas, schedule.prediction
        self._dtype = dtype
        self._table = TimeTable(unet, schedule.timestep, len(sigmas)) if is_folded else None
        self.encode = Encode(encoder, scaling, encoder_dtype).to(device)
        has_table = self._table is not None
        self.denoise = DenoiseSource(unet, schedule, dtype, has_table).to(device)
        self.step = FromSource(self.encode, self.denoise)
        # For batches of one shot, on the threads that take the plain path.
        self.step_one = TracedGraph(self.step) if device.type == "cpu" else self.step

    def inputs(self, text: Declaration, width: int, height: int) -> Declaration:
        """The inputs of `step`: `text`, those from noise alone, and the picture's.

        width, height: of the painted picture, in pixels."""
        return (
            *text,
            Input("source", (height, width, 3), torch.uint8, staged=True),
            *self._timing(),
        )

    def inner_inputs(self, text: Declaration) -> Declaration:
        """The inputs of `denoise`, which takes latents in place of the picture."""
        (noise,) = (one for one in text if one.name == "noise")
        return (*text, Input("latents", noise.shape, torch.float32, staged=True), *self._timing())

    def _timing(self) -> Declaration:
        scales = Input("scales", (4,), torch.float32, staged=True)
        if self._table is None:
            return scales, Input("time", (1,), torch.float32, staged=True)
        return scales, Input("time", (self._table.total,), self._dtype, staged=False)

    def values(self, source: Source, strength: float, width: int, height: int) -> Values:
        """The inputs beside noise and words. Raises ShotError if the picture is not there."""
        pixels = self._resolve(source, width, height)
        if pixels.shape != (height, width, 3):
            raise ShotError(
                f"The shot's source is {pixels.shape[1]}x{pixels.shape[0]} pixels instead of "
                f"{width}x{height}."
            )
        pixels = pixels if pixels.flags.writeable else pixels.copy()  # torch has no other kind
        return {"source": Value(torch.from_numpy(pixels)), **self.timing(strength)}

    def timing(self, strength: float) -> Values:
        """The inputs that follow from the strength, above 0 and at most 1."""
        count = len(self._sigmas)
        timestep = min(max(round(count * strength) - 1, 0), count - 1)
        scales = torch.tensor(scales_of(self._sigmas[timestep], self._prediction))
        if self._table is None:
            time = Value(torch.tensor([float(timestep)]))
        else:
            time = Value(*self._table.row(timestep))
        return {"scales": Value(scales), "time": time}

    def predicted(self, x0: torch.Tensor, inputs: Tensors) -> torch.Tensor:
        """The UNet's prediction, recovered from what `denoise` made of its inputs."""
        sigma, _, skip, out = inputs["scales"][:, :, None, None, None].unbind(1)
        return (x0 - skip * (inputs["latents"] + sigma * inputs["noise"])) / out
