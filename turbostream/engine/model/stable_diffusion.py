"""Stable Diffusion models (SD-Turbo, the demo model): load, encode, denoise, decode.

Runs on the engine's thread. `step.py` has the mathematics. This module must not know CUDA graphs,
CUDA streams or threads.
"""

from __future__ import annotations

import gc
import logging
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

# Their progress bars, and warnings about parts that are not used here, would hide our own log
# lines. This comes before their classes are imported because some warnings appear during import.
diffusers_logging.set_verbosity_error()
diffusers_logging.disable_progress_bar()
transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()

import diffusers  # noqa: E402
import torch  # noqa: E402
from diffusers import (  # noqa: E402
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from safetensors import SafetensorError  # noqa: E402
from transformers import CLIPTextModel, CLIPTokenizer  # noqa: E402

from turbostream.engine.device.hardware import Hardware  # noqa: E402
from turbostream.engine.model.inputs import Declaration, Input, Value, Values  # noqa: E402
from turbostream.engine.model.lora import MergedLoras  # noqa: E402
from turbostream.engine.model.noise import noise_of  # noqa: E402
from turbostream.engine.model.prompt_encoder import PromptEncoder  # noqa: E402
from turbostream.engine.model.prompt_mix import MAX_PROMPTS, PromptMixer  # noqa: E402
from turbostream.engine.model.schedule import euler_of, schedule_of, sigmas_of  # noqa: E402
from turbostream.engine.model.source_step import SourceStep, encoder_of  # noqa: E402
from turbostream.engine.model.step import Decode, Denoise  # noqa: E402
from turbostream.engine.rewrite import folded, packed, tiny_decoder, upsampled  # noqa: E402
from turbostream.engine.rewrite.traced import TracedGraph  # noqa: E402
from turbostream.engine.weights import model_files  # noqa: E402
from turbostream.engine.weights.lora_files import LoraFile  # noqa: E402
from turbostream.stream.capabilities import Capabilities  # noqa: E402
from turbostream.stream.engine_api import EngineUnusable, Resolve  # noqa: E402
from turbostream.stream.shot import ENLARGING, Adapters, Shot  # noqa: E402

log = logging.getLogger(__name__)

# What the loaders raise for malformed files.
UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ImportError,
    RuntimeError,
    EOFError,
    pickle.UnpicklingError,
    SafetensorError,
)


def load_pipeline(folder: Path, hardware: Hardware, name: str = "") -> StableDiffusionPipeline:
    """Load the pipeline in `folder` onto the hardware; raises EngineUnusable, which names the
    model as `name`, if a component cannot be loaded.

    Loaded component by component, each from the weights that `model_files` also chose for the
    download: a pipeline's own loader uses one variant for all, and its errors name no component.
    """
    name = name or str(folder)
    index = model_files.read_object(folder / model_files.INDEX)
    classes = {
        part: getattr(diffusers, index[part][1], default)
        for part, default in (("vae", AutoencoderKL), ("scheduler", EulerDiscreteScheduler))
    }
    pipe = StableDiffusionPipeline(
        unet=_loaded(UNet2DConditionModel, folder, "unet", hardware, name),
        vae=_loaded(classes["vae"], folder, "vae", hardware, name),
        text_encoder=_loaded(CLIPTextModel, folder, "text_encoder", hardware, name),
        tokenizer=_loaded(CLIPTokenizer, folder, "tokenizer", hardware, name),
        scheduler=_loaded(classes["scheduler"], folder, "scheduler", hardware, name),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    for part in (pipe.unet, pipe.vae, pipe.text_encoder):
        part.requires_grad_(False)
    return pipe.to(hardware.device)


def _loaded(kind: Any, folder: Path, part: str, hardware: Hardware, name: str) -> Any:
    """One component of the pipeline, from its folder."""
    place = folder / part
    options: dict[str, Any] = {"local_files_only": True}
    choice = None
    if part in model_files.STEMS:
        choice = model_files.weights_of(part, [entry.name for entry in place.iterdir()])
        if choice is None:
            raise EngineUnusable(f"The model {name} is incomplete: {part} has no weights.")
        options |= {"dtype": hardware.dtype, "variant": choice.variant}
        options |= {"use_safetensors": choice.safetensors, "output_loading_info": True}
    try:
        if choice is None:
            return kind.from_pretrained(place, **options)
        loaded, report = kind.from_pretrained(place, **options)
    except (torch.OutOfMemoryError, MemoryError):  # the file is fine; the first is a RuntimeError
        raise
    except UNREADABLE as error:
        first_line = (str(error).strip() or repr(error)).splitlines()[0]
        raise EngineUnusable(
            f"The model {name} cannot be used: its {part} cannot be loaded ({first_line}); fetch "
            "or copy it again, or give another MODEL_ID."
        ) from error
    # transformers 5 does not save position ids; older versions did.
    missing = [key for key in report["missing_keys"] if not key.endswith("position_ids")]
    if missing:
        raise EngineUnusable(
            f"The model {name} cannot be used: its {part} lacks {len(missing)} weights, such as "
            f"{missing[0]}; fetch or copy it again, or give another MODEL_ID."
        )
    return loaded


class KLDecoder(torch.nn.Module):
    """Stable Diffusion's full decoder (AutoencoderKL) as a module with one argument."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.post_quant_conv, self.decoder = vae.post_quant_conv, vae.decoder

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        if self.post_quant_conv is not None:
            latents = self.post_quant_conv(latents)
        pictures: torch.Tensor = self.decoder(latents)
        return pictures


class OneStepModel:
    """Maps a shot's inputs to pixels in one step, with guidance 0.

    source: the step from a picture, or None where there is none, for which `sources` has the
    reason.
    """

    def __init__(
        self,
        pipe: Any,
        hardware: Hardware,
        vae: Any = None,
        resolve: Resolve | None = None,
        loras: Sequence[LoraFile] = (),
    ) -> None:
        """vae: the autoencoder that is used; None for the pipeline's own. resolve: gives the pixels
        of a shot's source; None: shots have none. loras: what shots may name as adapters; raises
        EngineUnusable for one that does not fit."""
        self.hardware = hardware
        self.loras = MergedLoras(pipe, loras)
        self.merged_at: Any = None  # on CUDA
        originals = self.loras.originals
        scheduler = euler_of(pipe.scheduler)
        self.schedule = schedule_of(scheduler)
        vae = pipe.vae if vae is None else vae
        vae.requires_grad_(False).to(memory_format=torch.channels_last)
        decoder = vae.decoder if type(vae).__name__ == "AutoencoderTiny" else KLDecoder(vae)
        is_folded = folded.prepare(
            pipe.unet, self.schedule.timestep, resolve is not None, originals
        )
        if not tiny_decoder.fuse(decoder, hardware.device.type):
            upsampled.fold(decoder)
        self.encode_prompt = PromptEncoder(pipe.tokenizer, pipe.text_encoder)
        self.mix_prompts = PromptMixer(self.encode_prompt, self.encode_prompt.stream)
        if hardware.device.type == "cpu" and packed.available():
            packed.pack(pipe.unet, originals)
        device, dtype = hardware.device, hardware.dtype
        self.denoise = Denoise(pipe.unet, self.schedule, dtype).to(device)
        # For batches of one shot, on the threads that take the plain path.
        self.denoise_one = TracedGraph(self.denoise) if device.type == "cpu" else self.denoise
        self.decode = Decode(decoder, vae.config.scaling_factor, dtype).to(device)
        scaling = vae.config.scaling_factor
        self.source: SourceStep | None = None
        self.sources = "off: no source of pictures was given"  # "choice: reason"
        if resolve is not None:
            encoder = encoder_of(vae, device.type)
            self.sources = "off: the encoder has other names in this version of diffusers"
            if encoder is not None:
                self.sources = f"on: {type(vae).__name__}'s encoder is part of the step"
                self.source = SourceStep(
                    pipe.unet, encoder, scaling, self.schedule, sigmas_of(scheduler), hardware,
                    is_folded, resolve,
                )  # fmt: skip
        self.capabilities = Capabilities(
            prompts=MAX_PROMPTS,
            sources=self.source is not None,
            steps=(1,),
            adapters=self.loras.names,
            enlarging=ENLARGING,
        )
        self.latent_channels: int = pipe.unet.config.in_channels
        self.vae_scale: int = pipe.vae_scale_factor
        size = pipe.unet.config.sample_size
        high, wide = (size, size) if isinstance(size, int) else size
        self.own_size = (wide * self.vae_scale, high * self.vae_scale)  # pixels

    def latent_shape(self, width: int | None, height: int | None) -> tuple[int, int, int]:
        """[C, H/8, W/8] of one picture; None is the model's own size. Raises EngineUnusable for a
        size that the model's decoder cannot produce."""
        wide, high = width or self.own_size[0], height or self.own_size[1]
        if wide % self.vae_scale or high % self.vae_scale:
            raise EngineUnusable(
                f"WIDTH and HEIGHT must be multiples of {self.vae_scale} for this model."
            )
        return self.latent_channels, high // self.vae_scale, wide // self.vae_scale

    def inputs(self, width: int | None, height: int | None) -> Declaration:
        """The inputs of `paint` and `denoise` for pictures of this size; raises EngineUnusable."""
        embedding = self.encode_prompt(" ").tensor  # any prompt gives the shape and dtype
        return (
            Input("noise", self.latent_shape(width, height), torch.float32, staged=True),
            Input("prompt_embedding", tuple(embedding.shape), embedding.dtype, staged=False),
        )

    def source_inputs(self, width: int | None, height: int | None) -> Declaration:
        """The inputs of `paint_source`, for pictures of this size; empty without `source`."""
        if self.source is None:
            return ()
        return self.source.inputs(self.inputs(width, height), *self._pixels(width, height))

    def values(self, shot: Shot) -> Values:
        """The shot's inputs: unit noise [C, H/8, W/8] on the CPU, the embedding [tokens, hidden]
        on the device; with a source, what `source` takes too. Raises ShotError for a shot that
        `capabilities` do not cover, or whose picture is not there."""
        self.capabilities.check(shot)
        shape = drawn = self.latent_shape(shot.width, shot.height)
        if shot.enlarging is not None:
            drawn = self.latent_shape(shot.base_width, shot.base_height)
            shape = drawn if shot.enlarging == "pixels" else shape
        values = {
            "prompt_embedding": self.mix_prompts(shot.prompts),
            "noise": Value(noise_of(shot.noise, shape, drawn)),
        }
        if self.source is None or shot.source is None or shot.strength is None:
            return values
        wide, high = shape[2] * self.vae_scale, shape[1] * self.vae_scale
        return {**values, **self.source.values(shot.source, shot.strength, wide, high)}

    def merge(self, adapters: Adapters, after: Sequence[Any] = ()) -> None:
        """Change the weights to those of `adapters`, which `capabilities` cover.

        On a CPU nothing that reads the weights may be running. On CUDA the change is enqueued:
        after the events of `after` and what encodes prompts, and before `merged_at`, the event that
        later readers wait for."""
        text = self.encode_prompt.stream
        if text is not None:
            torch.cuda.current_stream().wait_stream(text)
        for event in after:
            (event.wait if self.hardware.device.type == "cuda" else event.synchronize)()
        if self.loras.merge(adapters):
            self.encode_prompt.forget()
            self.mix_prompts.forget()
        if self.hardware.device.type == "cuda":
            self.merged_at = torch.cuda.Event()
            self.merged_at.record()
        if text is not None:
            text.wait_event(self.merged_at)

    def size(self, shot: Shot) -> tuple[int, int]:
        """(width, height) of the finished picture in pixels."""
        return self._pixels(shot.width, shot.height)

    def _pixels(self, width: int | None, height: int | None) -> tuple[int, int]:
        return width or self.own_size[0], height or self.own_size[1]

    def denoise_alone(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Latents of one shot's inputs, with or without a source, on the plain path."""
        if self.source is not None and "source" in inputs:
            return self.source.step_one(**inputs)
        return self.denoise_one(**inputs)

    def paint_source(self, **inputs: torch.Tensor) -> torch.Tensor:
        """As `paint`, for the inputs of `source`."""
        assert self.source is not None
        pixels: torch.Tensor = self.decode(self.source.step(**inputs))
        return pixels

    def paint(self, **inputs: torch.Tensor) -> torch.Tensor:
        """uint8 RGBX [B, H, W, 4] of a batch of the declared inputs."""
        pixels: torch.Tensor = self.decode(self.denoise(**inputs))
        return pixels

    def synchronize(self) -> None:
        """Wait for the device, so that each stage's time is measured correctly."""
        if self.hardware.device.type == "cuda":
            torch.cuda.synchronize(self.hardware.device)
        elif self.hardware.device.type == "mps":
            torch.mps.synchronize()

    def release(self) -> None:
        """Free the weights and return the device's memory."""
        del self.denoise, self.denoise_one, self.decode, self.encode_prompt, self.mix_prompts
        del self.source, self.loras
        free_cached_memory(self.hardware.device.type)


def free_cached_memory(device: str) -> None:
    """Return the allocator's unused memory to the device."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()
