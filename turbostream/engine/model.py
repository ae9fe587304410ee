"""A diffusers pipeline, loaded, and what the engine needs of it: text, denoise, decode.

Knows no graph, no stream and no thread; `step.py` holds the mathematics.
"""

from __future__ import annotations

import gc
import json
import logging
from pathlib import Path
from typing import Any

from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

# Their progress bars and advice about parts that are not used here would drown our own lines.
# Said before their classes are imported, since that is when some of the advice comes.
diffusers_logging.set_verbosity_error()
diffusers_logging.disable_progress_bar()
transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()

import torch  # noqa: E402
from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline  # noqa: E402

from turbostream.engine import folded, packed, tiny, upsampled  # noqa: E402
from turbostream.engine.hardware import Hardware  # noqa: E402
from turbostream.engine.step import PREDICTIONS, Decode, Denoise, Schedule  # noqa: E402
from turbostream.engine.tape import Tape  # noqa: E402
from turbostream.engine.text import TextEncoder  # noqa: E402
from turbostream.stream.seam import EngineUnusable  # noqa: E402

log = logging.getLogger(__name__)


def load_pipeline(folder: Path, hardware: Hardware) -> StableDiffusionPipeline:
    """The pipeline in `folder` on the hardware; raises EngineUnusable if it is of another kind.

    The index says which pipeline it is, so the one class is imported: AutoPipeline's module
    imports all of them, for half a second and more.
    """
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    kind = index.get("_class_name")
    if kind != StableDiffusionPipeline.__name__:
        raise EngineUnusable(
            f"The model in {folder} is a {kind}; this program plays one-step "
            "models of Stable Diffusion's kind, such as stabilityai/sd-turbo."
        )
    variant = "fp16" if any(folder.glob("unet/*.fp16.safetensors")) else None
    try:
        pipe = StableDiffusionPipeline.from_pretrained(
            folder, dtype=hardware.dtype, variant=variant, local_files_only=True
        )
    except (OSError, ValueError, KeyError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise EngineUnusable(f"The model in {folder} cannot be loaded: {first_line}") from error
    pipe.set_progress_bar_config(disable=True)
    for part in (pipe.unet, pipe.vae, pipe.text_encoder):
        part.requires_grad_(False)
    return pipe.to(hardware.device)


def schedule_of(scheduler: Any) -> Schedule:
    """The one step's numbers; another scheduler than Euler's is replaced, since one step needs
    its first sigma."""
    if not isinstance(scheduler, EulerDiscreteScheduler):
        log.info("[init] %s is replaced by EulerDiscreteScheduler.", type(scheduler).__name__)
        scheduler = EulerDiscreteScheduler.from_config(
            scheduler.config, timestep_spacing="trailing"
        )
    scheduler.set_timesteps(1)
    prediction = scheduler.config.prediction_type
    if prediction not in PREDICTIONS:
        raise EngineUnusable(f"This model predicts {prediction!r}, which is not known here.")
    return Schedule(
        float(scheduler.sigmas[0]),
        float(scheduler.init_noise_sigma),
        float(scheduler.timesteps[0]),
        prediction,
    )


class KLDecoder(torch.nn.Module):
    """The full decoder of Stable Diffusion, AutoencoderKL's, as a module of one argument."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.post_quant_conv, self.decoder = vae.post_quant_conv, vae.decoder

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        if self.post_quant_conv is not None:
            latents = self.post_quant_conv(latents)
        pictures: torch.Tensor = self.decoder(latents)
        return pictures


class OneStepModel:
    """Noise and words in, pixels out; one step, guidance 0. `vae` may be another decoder than
    the pipeline's own."""

    def __init__(self, pipe: Any, hardware: Hardware, vae: Any = None) -> None:
        self.hardware = hardware
        self.schedule = schedule_of(pipe.scheduler)
        vae = pipe.vae if vae is None else vae
        vae.requires_grad_(False).to(memory_format=torch.channels_last)
        decoder = vae.decoder if type(vae).__name__ == "AutoencoderTiny" else KLDecoder(vae)
        folded.prepare(pipe.unet, self.schedule.timestep)
        if not tiny.fuse(decoder, hardware.device.type):
            upsampled.fold(decoder)
        self.text = TextEncoder(pipe.tokenizer, pipe.text_encoder)
        if hardware.device.type == "cpu" and packed.available():
            packed.pack(pipe.unet)
        device, dtype = hardware.device, hardware.dtype
        self.denoise = Denoise(pipe.unet, self.schedule, dtype).to(device)
        # A single one, on the engine's thread alone.
        self.denoise_one = Tape(self.denoise) if device.type == "cpu" else self.denoise
        self.decode = Decode(decoder, vae.config.scaling_factor, dtype).to(device)
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

    def paint(self, noise: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """uint8 RGBX [B, H, W, 4] of unit noise [B, C, H/8, W/8] in fp32 and words
        [B, tokens, hidden]."""
        pixels: torch.Tensor = self.decode(self.denoise(noise, words))
        return pixels

    def synchronize(self) -> None:
        """Wait for the device, so that a stage's time is its own."""
        if self.hardware.device.type == "cuda":
            torch.cuda.synchronize(self.hardware.device)
        elif self.hardware.device.type == "mps":
            torch.mps.synchronize()

    def release(self) -> None:
        """Drop the weights and give the device's memory back."""
        del self.denoise, self.denoise_one, self.decode, self.text
        give_back(self.hardware.device.type)


def give_back(device: str) -> None:
    """Return what the allocator holds and nobody uses."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()
