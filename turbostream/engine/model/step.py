"""The one step as two modules: noise and prompt embedding to latents, latents to pixels.

Written out here because the pipeline object encodes the text, queries the scheduler and converts
to PIL on every call. These are plain modules on tensors: the same code runs directly on a CPU, is
captured in a CUDA graph and is compiled by Inductor. `tests/engine/model/test_step.py` compares
them with the pipeline for the same noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

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

    def __init__(self, unet: nn.Module, schedule: Schedule, dtype: torch.dtype) -> None:
        super().__init__()
        self.unet = unet
        self.schedule = schedule
        self.dtype = dtype
        self.register_buffer(
            "timestep", torch.full((1,), schedule.timestep, dtype=torch.float32), persistent=False
        )

    def forward(self, noise: torch.Tensor, prompt_embedding: torch.Tensor) -> torch.Tensor:
        """Latents x0 [B, C, H/8, W/8] in fp32, from unit noise of the same shape in fp32 and
        the prompt embeddings [B, tokens, hidden] in the model's dtype.

        The subtraction that gives x0 is done in fp32, as in diffusers: in fp16 its rounding error
        would be multiplied by sigma.
        """
        sigma, sample = self.schedule.sigma, noise * self.schedule.first_scale
        scaled = sample * (sigma**2 + 1) ** -0.5
        predicted = self.unet(
            scaled.to(self.dtype), self.timestep, prompt_embedding, return_dict=False
        )[0].float()
        if self.schedule.prediction == "sample":
            return predicted
        if self.schedule.prediction == "epsilon":
            return sample - sigma * predicted
        return sample / (sigma**2 + 1) - predicted * sigma * (sigma**2 + 1) ** -0.5


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
