"""A diffusers pipeline, loaded, and the one step from noise and words to pixels.

The step is written out here rather than left to the pipeline object, which encodes the text, asks
the scheduler and converts to PIL on every call. `tests/engine/test_model.py` holds it against the
plain pipeline from the same noise.
"""

from __future__ import annotations

import gc
import logging
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoPipelineForText2Image, EulerDiscreteScheduler, StableDiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from turbostream.engine.hardware import Hardware
from turbostream.engine.text import TextEncoder
from turbostream.stream.seam import EngineUnusable

log = logging.getLogger(__name__)

# Their progress bars and advice about parts that are not used here would drown our own lines.
diffusers_logging.set_verbosity_error()
diffusers_logging.disable_progress_bar()
transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()

PREDICTIONS = ("epsilon", "sample", "v_prediction")


def load_pipeline(folder: Path, hardware: Hardware) -> StableDiffusionPipeline:
    """The pipeline in `folder` on the hardware; raises EngineUnusable if it is of another kind."""
    variant = "fp16" if any(folder.glob("unet/*.fp16.safetensors")) else None
    try:
        pipe = AutoPipelineForText2Image.from_pretrained(
            folder, dtype=hardware.dtype, variant=variant, local_files_only=True
        )
    except (OSError, ValueError, KeyError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise EngineUnusable(f"The model in {folder} cannot be loaded: {first_line}") from error
    if not isinstance(pipe, StableDiffusionPipeline):
        raise EngineUnusable(
            f"The model in {folder} is a {type(pipe).__name__}; this program plays one-step "
            "models of Stable Diffusion's kind, such as stabilityai/sd-turbo."
        )
    pipe.set_progress_bar_config(disable=True)
    pipe.unet.requires_grad_(False)
    pipe.vae.requires_grad_(False)
    pipe.text_encoder.requires_grad_(False)
    # Convolutions in NHWC: 1.4 times faster on two CPU cores and 1.3 times on a GPU (measured,
    # docs/experiments.md).
    pipe.unet.to(memory_format=torch.channels_last)
    pipe.vae.to(memory_format=torch.channels_last)
    return pipe.to(hardware.device)


class OneStepModel:
    """Noise and text embeddings in, pixels out; one step, guidance 0.

    With one step of a trailing Euler schedule: t = 999, UNet input = noise * sigma /
    sqrt(sigma² + 1), and the picture's latents x0 follow from what the UNet predicts
    (Karras et al. 2022; diffusers' EulerDiscreteScheduler.step).
    """

    def __init__(self, pipe: StableDiffusionPipeline, hardware: Hardware) -> None:
        scheduler = pipe.scheduler
        if not isinstance(scheduler, EulerDiscreteScheduler):
            log.info("[init] %s is replaced by EulerDiscreteScheduler.", type(scheduler).__name__)
            scheduler = EulerDiscreteScheduler.from_config(
                scheduler.config, timestep_spacing="trailing"
            )
        scheduler.set_timesteps(1, device=hardware.device)
        self.prediction: str = scheduler.config.prediction_type
        if self.prediction not in PREDICTIONS:
            raise EngineUnusable(
                f"This model predicts {self.prediction!r}, which is not known here."
            )
        self.hardware = hardware
        self.unet: Any = pipe.unet
        self.vae: Any = pipe.vae
        self.text = TextEncoder(pipe.tokenizer, pipe.text_encoder)
        self.sigma = float(scheduler.sigmas[0])
        self.first_scale = float(scheduler.init_noise_sigma)
        self.timestep = scheduler.timesteps[0]
        self.latent_channels: int = pipe.unet.config.in_channels
        self.vae_scale: int = pipe.vae_scale_factor
        size = pipe.unet.config.sample_size
        high, wide = (size, size) if isinstance(size, int) else size
        self.own_size = (wide * self.vae_scale, high * self.vae_scale)  # pixels

    def latent_shape(self, width: int | None, height: int | None) -> tuple[int, int, int]:
        """[C, H/8, W/8] of one picture; None is the model's own size. Sizes that the model's
        decoder cannot produce are refused with one sentence."""
        wide, high = width or self.own_size[0], height or self.own_size[1]
        if wide % self.vae_scale or high % self.vae_scale:
            raise EngineUnusable(
                f"WIDTH and HEIGHT must be multiples of {self.vae_scale} for this model."
            )
        return self.latent_channels, high // self.vae_scale, wide // self.vae_scale

    def denoise(self, noise: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
        """Latents of the picture, x0 [B, C, H/8, W/8] in fp32, from unit noise of the same shape
        in fp32 and embeddings [B, tokens, hidden] in the model's format.

        The difference that gives x0 is taken in fp32, as diffusers does: in fp16 it would lose
        the last digits times sigma.
        """
        sample = noise * self.first_scale
        scaled = sample * (self.sigma**2 + 1) ** -0.5
        predicted = self.unet(
            scaled.to(self.hardware.dtype), self.timestep, embeddings, return_dict=False
        )[0].float()
        if self.prediction == "sample":
            return predicted
        if self.prediction == "epsilon":
            return sample - self.sigma * predicted
        return sample / (self.sigma**2 + 1) - predicted * self.sigma * (self.sigma**2 + 1) ** -0.5

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """uint8 pixels [B, H, W, 3] of latents [B, C, H/8, W/8]."""
        scaled = (latents / self.vae.config.scaling_factor).to(self.hardware.dtype)
        decoded = self.vae.decode(scaled, return_dict=False)[0]
        pixels = (decoded.float() * 127.5 + 127.5).round_().clamp_(0, 255)
        return pixels.to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    def synchronize(self) -> None:
        """Wait for the device, so that a stage's time is its own."""
        if self.hardware.device.type == "cuda":
            torch.cuda.synchronize(self.hardware.device)
        elif self.hardware.device.type == "mps":
            torch.mps.synchronize()

    def release(self) -> None:
        """Drop the weights and give the device's memory back."""
        del self.unet, self.vae, self.text
        gc.collect()
        if self.hardware.device.type == "cuda":
            torch.cuda.empty_cache()
        elif self.hardware.device.type == "mps":
            torch.mps.empty_cache()
