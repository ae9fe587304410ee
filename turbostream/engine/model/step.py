"""The steps as modules: noise, words and perhaps a picture to latents, latents to pixels.

Written out here because the pipeline object encodes the text, queries the scheduler and converts
to PIL on every call. These are plain modules on tensors: the same code runs directly on a CPU, is
captured in a CUDA graph and is compiled by Inductor. `tests/engine/model/test_step.py` and
`test_steps.py` compare them with the pipeline for the same noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from turbostream.engine.model.condition import condition_of, takes_guidance

PREDICTIONS = ("epsilon", "sample", "v_prediction")


@dataclass(frozen=True)
class Schedule:
    """The parameters of the single step of a trailing Euler schedule (t = 999)."""

    sigma: float
    first_scale: float  # diffusers' init_noise_sigma: what unit noise is multiplied by
    timestep: float
    prediction: str


class Denoise(nn.Module):
    """The UNet and the step around it.

    UNet input = noise * first_scale / sqrt(sigma² + 1); the picture's latents x0 are computed from
    its prediction (Karras et al. 2022; diffusers' EulerDiscreteScheduler.step).
    """

    timestep: torch.Tensor

    def __init__(
        self, unet: nn.Module, schedule: Schedule, dtype: torch.dtype, vae_scale: int
    ) -> None:
        """vae_scale: pixels of a picture's side per value of the latents."""
        super().__init__()
        self.unet = unet
        self.schedule = schedule
        self.dtype = dtype
        self.vae_scale = vae_scale
        self.condition = condition_of(unet, vae_scale)
        self.register_buffer(
            "timestep", torch.full((1,), schedule.timestep, dtype=torch.float32), persistent=False
        )

    def forward(self, noise: torch.Tensor, prompt_embedding: torch.Tensor) -> torch.Tensor:
        """Latents x0 [B, C, H/8, W/8] in fp32, from unit noise of the same shape in fp32 and
        the prompt embeddings [B, rows, hidden] in the model's dtype.

        The subtraction that gives x0 is done in fp32, as in diffusers: in fp16 its rounding error
        would be multiplied by sigma.
        """
        sigma, sample = self.schedule.sigma, noise * self.schedule.first_scale
        scaled = sample * (sigma**2 + 1) ** -0.5
        words, more = self.condition(prompt_embedding, noise, None)
        predicted = self.unet(
            scaled.to(self.dtype), self.timestep, words, return_dict=False, **more
        )[0].float()
        if self.schedule.prediction == "sample":
            return predicted
        if self.schedule.prediction == "epsilon":
            return sample - sigma * predicted
        return sample / (sigma**2 + 1) - predicted * sigma * (sigma**2 + 1) ** -0.5


class DenoiseAt(nn.Module):
    """One step of several, or from a picture, at each shot's own timestep: from a sample to the
    next one.

    UNet input = scale * sample; next = skip * sample + out * prediction, which is the formula of
    every scheduler and prediction with its own factors (`schedule.Row`).
    """

    timestep: torch.Tensor

    def __init__(
        self,
        unet: nn.Module,
        schedule: Schedule,
        dtype: torch.dtype,
        vae_scale: int,
        has_table: bool,
    ) -> None:
        """schedule: of the step from noise alone, whose timestep may be folded into the blocks.
        vae_scale: as for `Denoise`. has_table: it is, and the UNet has a `timesteps.TimeTable`;
        otherwise the UNet computes its time embedding itself."""
        super().__init__()
        self.unet, self.schedule, self.dtype = unet, schedule, dtype
        self.vae_scale, self.has_table = vae_scale, has_table
        self.takes_guidance = takes_guidance(unet)
        self.condition = condition_of(unet, vae_scale)
        self.register_buffer(
            "timestep", torch.full((1,), schedule.timestep, dtype=torch.float32), persistent=False
        )

    def forward(
        self,
        sample: torch.Tensor,
        prompt_embedding: torch.Tensor,
        scales: torch.Tensor,
        time: torch.Tensor,
    ) -> torch.Tensor:
        """The next sample [B, C, H/8, W/8] in fp32, without new noise, from the sample of the same
        shape in fp32 and the prompt embeddings [B, rows, hidden] in the model's dtype.

        scales: (scale, skip, out) of each shot, [B, 3] in fp32. time: a row of the table for each
        shot, [B, total] in the model's dtype; without a table the timesteps, [B, 1] in fp32, or
        [B, 2] with the guidance scales behind them, where the UNet takes these.
        """
        scale, skip, out = scales[:, :, None, None, None].unbind(1)
        scaled = (sample * scale).to(self.dtype)
        timestep = self.timestep if self.has_table else time[:, 0]
        guidance = time[:, 1] if self.takes_guidance else None
        words, more = self.condition(prompt_embedding, sample, guidance)
        if self.has_table:
            more["timestep_cond"] = time
        predicted = self.unet(scaled, timestep, words, return_dict=False, **more)[0]
        return sample * skip + predicted.float() * out


class Encode(nn.Module):
    """Bytes to the latents that a picture's step starts from."""

    def __init__(self, encoder: nn.Module, scaling: float, dtype: torch.dtype) -> None:
        """encoder: maps pictures in 0 to 1, [B, 3, H, W], to latents / scaling."""
        super().__init__()
        self.encoder, self.scaling, self.dtype = encoder, scaling, dtype

    def forward(self, source: torch.Tensor) -> torch.Tensor:
        """Latents [B, C, H/8, W/8] in fp32 of uint8 RGB [B, H, W, 3]. They are contiguous, as the
        noise is: compiled code reads its inputs with the strides that it was compiled for."""
        pictures = source.permute(0, 3, 1, 2).to(self.dtype) / 255  # channels_last, as it comes
        latents: torch.Tensor = self.encoder(pictures)
        return (latents.float() * self.scaling).contiguous()


class Decode(nn.Module):
    """The decoder and the conversion to bytes."""

    middle: torch.Tensor

    def __init__(self, decoder: Any, scaling: float, dtype: torch.dtype) -> None:
        """decoder: maps latents / scaling to pictures in -1 to 1, [B, 3, H, W]."""
        super().__init__()
        self.decoder = decoder
        self.scaling = scaling
        self.dtype = dtype
        self.register_buffer("middle", torch.full((1,), 127.5), persistent=False)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """uint8 RGBX [B, H, W, 4] of latents [B, C, H/8, W/8] in fp32. RGBX is Pillow's internal
        layout, which it accepts without a copy. X is 255."""
        decoded = self.decoder((latents / self.scaling).to(self.dtype))
        pixels = torch.add(self.middle, decoded, alpha=127.5)  # in fp32, in one pass
        pixels = pixels.round_().clamp_(0, 255).permute(0, 2, 3, 1)
        rgbx = pixels.new_full((*pixels.shape[:3], 4), 255, dtype=torch.uint8)
        rgbx[..., :3] = pixels
        return rgbx
