"""A pipeline as a model of one to four steps: a shot's inputs, and what is painted from them.

Runs on the engine's thread. `step.py` has the mathematics. This module must not know CUDA graphs,
CUDA streams or threads.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from turbostream.engine.device.hardware import Hardware
from turbostream.engine.model import condition
from turbostream.engine.model.decoder import KLDecoder, dtype_of
from turbostream.engine.model.families import family_of
from turbostream.engine.model.inputs import Declaration, Input, Paint, Tensors, Value, Values
from turbostream.engine.model.lora import MergedLoras
from turbostream.engine.model.noise import noise_of
from turbostream.engine.model.prompt_mix import MAX_PROMPTS, PromptMixer
from turbostream.engine.model.schedule import Steps, StepTable, schedule_of, uses_guidance
from turbostream.engine.model.source_step import Pictures, encoder_of
from turbostream.engine.model.step import Decode, Denoise, Encode
from turbostream.engine.model.steps import Sampler
from turbostream.engine.rewrite import folded, packed, tiny_decoder, upsampled
from turbostream.engine.rewrite.traced import TracedGraph
from turbostream.engine.weights.lora_files import LoraFile
from turbostream.stream.capabilities import Capabilities
from turbostream.stream.course import NO_WORDS
from turbostream.stream.engine_api import EngineUnusable, Resolve
from turbostream.stream.shot import ENLARGING, Adapters, Shot

log = logging.getLogger(__name__)


class Kind(NamedTuple):
    """What differs between submissions of one size: each kind has its own inputs and graphs.

    steps: how many are taken. fresh: with noise beyond the first. source: from a picture. guided:
    with classifier-free guidance, which doubles the batch.
    """

    steps: int = 1
    fresh: bool = False
    source: bool = False
    guided: bool = False

    @classmethod
    def of(cls, inputs: Tensors) -> Kind:
        """The kind of shots that have these inputs, with or without a batch axis."""
        if "rows" not in inputs:
            return cls()
        steps = inputs["rows"].shape[-2] - 1
        return cls(steps, *(name in inputs for name in ("fresh", "source", "guidance")))


class Model:
    """Maps a shot's inputs to pixels in one to four steps, with or without guidance.

    steps: the number that shots take which ask for none. pictures: those that shots may start from,
    or None where there are none, for which `sources` has the reason. denoise: the step of shots
    from noise alone in one step of Euler's; `sampler` takes all others.
    """

    def __init__(
        self,
        pipe: Any,
        hardware: Hardware,
        vae: Any = None,
        resolve: Resolve | None = None,
        steps: int | None = None,
        loras: Sequence[LoraFile] = (),
        guided: bool | None = None,
    ) -> None:
        """vae: the autoencoder that is used; None for the pipeline's own. resolve: gives the pixels
        of a shot's source; None: shots have none. steps: None for as many as the scheduler is made
        for; raises EngineUnusable for a number that it cannot take. loras: what shots may name as
        adapters; raises EngineUnusable for one that does not fit. guided: whether shots may ask for
        classifier-free guidance; None: as `uses_guidance` says of the scheduler."""
        self.hardware = hardware
        self.loras = MergedLoras(pipe, loras)
        self.merged_at: Any = None  # on CUDA
        originals = self.loras.originals
        table = StepTable(pipe.scheduler)
        self.schedule = schedule_of(pipe.scheduler)
        self.steps = table.own if steps is None else steps
        if self.steps not in table.counts:
            raise EngineUnusable(
                f"STEPS is {steps}, and this model's scheduler takes {_either(table.counts)} steps."
            )
        vae = pipe.vae if vae is None else vae
        vae_dtype = dtype_of(vae, hardware.dtype)
        vae.requires_grad_(False).to(vae_dtype).to(memory_format=torch.channels_last)
        decoder = vae.decoder if type(vae).__name__ == "AutoencoderTiny" else KLDecoder(vae)
        is_folded = folded.prepare(pipe.unet, self.schedule.timestep, True, originals)
        if not tiny_decoder.fuse(decoder, hardware.device.type):
            upsampled.fold(decoder)
        self.encode_prompt = family_of(pipe).read(pipe)
        self.mix_prompts = PromptMixer(self.encode_prompt, self.encode_prompt.stream)
        self._zeros = bool(pipe.config.get("force_zeros_for_empty_prompt"))
        self.mix_negative = PromptMixer(self._encode_negative, self.encode_prompt.stream)
        if hardware.device.type == "cpu" and packed.available():
            packed.pack(pipe.unet, originals)
        device, dtype = hardware.device, hardware.dtype
        scaling = vae.config.scaling_factor
        self.vae_scale: int = pipe.vae_scale_factor
        self.denoise = Denoise(pipe.unet, self.schedule, dtype, self.vae_scale).to(device)
        self.decode = Decode(decoder, scaling, vae_dtype).to(device)
        self.pictures: Pictures | None = None
        self.sources = "off: no source of pictures was given"  # "choice: reason"
        if resolve is not None:
            encoder = encoder_of(vae, device.type)
            self.sources = "off: the encoder has other names in this version of diffusers"
            if encoder is not None:
                self.sources = f"on: {type(vae).__name__}'s encoder is part of the step"
                self.pictures = Pictures(Encode(encoder, scaling, vae_dtype).to(device), resolve)
        encode = None if self.pictures is None else self.pictures.encode
        self.sampler = Sampler(
            pipe.unet, encode, self.schedule, table, hardware, self.vae_scale, is_folded
        )
        embeds = self.sampler.takes_guidance
        guided = (uses_guidance(pipe.scheduler) if guided is None else guided) and not embeds
        own_guidance = condition.GUIDANCE if embeds else 1.0
        self._alone: dict[Kind, Paint] = {}  # for one shot, on the threads of the plain path
        self.capabilities = Capabilities(
            prompts=MAX_PROMPTS,
            sources=self.pictures is not None,
            steps=table.counts,
            adapters=self.loras.names,
            enlarging=ENLARGING,
            guidance=own_guidance if embeds or guided else None,
            negative=guided,
        )
        self.latent_channels: int = pipe.unet.config.in_channels
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

    def text_inputs(self, width: int | None, height: int | None) -> Declaration:
        """The inputs of `denoise` for pictures of this size; raises EngineUnusable."""
        embedding = self.encode_prompt(" ").tensor  # any prompt gives the shape and dtype
        return (
            Input("noise", self.latent_shape(width, height), torch.float32, staged=True),
            Input("prompt_embedding", tuple(embedding.shape), embedding.dtype, staged=False),
        )

    def inputs(
        self, width: int | None, height: int | None, kind: Kind | None = None
    ) -> Declaration:
        """The inputs of `paint` for pictures of this size; raises EngineUnusable. kind: None for
        that of a shot without a source that asks for no number of steps."""
        kind = kind or self.own_kind
        text = self.text_inputs(width, height)
        if self.is_plain(kind):
            return text
        inputs = self.sampler.inputs(text, kind.steps, kind.fresh, kind.guided)
        if not kind.source:
            return inputs
        assert self.pictures is not None
        return (*inputs, self.pictures.input(*self._pixels(width, height)))

    def is_plain(self, kind: Kind) -> bool:
        """Whether `denoise` paints shots of this kind."""
        alone = self.sampler.table.ends_at_zero and not self.sampler.takes_guidance
        return kind == Kind() and alone

    @property
    def own_kind(self) -> Kind:
        """The kind of a shot without a source that asks for no number of steps."""
        return Kind(self.steps, self.sampler.table.from_noise(self.steps).is_stochastic)

    def kind_of(self, shot: Shot) -> Kind:
        """Raises ShotError for a shot that `capabilities` do not cover."""
        self.capabilities.check(shot)
        steps = self._steps_of(shot)
        guided = not self.sampler.takes_guidance and (shot.guidance or 1) > 1
        return Kind(len(steps.rows), steps.is_stochastic, shot.source is not None, guided)

    def _steps_of(self, shot: Shot) -> Steps:
        count, table = shot.steps or self.steps, self.sampler.table
        if shot.strength is None:
            return table.from_noise(count)
        return table.from_picture(count, shot.strength)

    def values(self, shot: Shot) -> Values:
        """The shot's inputs: unit noise [C, H/8, W/8] on the CPU, the embedding [tokens, hidden]
        on the device; with several steps or a source, what `sampler` takes too. Raises ShotError
        for a shot that `capabilities` do not cover, or whose picture is not there."""
        kind = self.kind_of(shot)
        shape = drawn = self.latent_shape(shot.width, shot.height)
        if shot.enlarging is not None:
            drawn = self.latent_shape(shot.base_width, shot.base_height)
            shape = drawn if shot.enlarging == "pixels" else shape
        values = {
            "prompt_embedding": self.mix_prompts(shot.prompts),
            "noise": Value(noise_of(shot.noise, shape, drawn)),
        }
        if self.is_plain(kind):
            return values
        if kind.fresh:
            later = [noise_of(shot.noise, shape, drawn, k) for k in range(1, kind.steps)]
            values["fresh"] = Value(torch.stack(later))
        values |= self.sampler.values(self._steps_of(shot), shot.guidance)
        if kind.guided:
            values["guidance"] = Value(torch.tensor([shot.guidance]))
            values["negative_embedding"] = self.mix_negative(shot.negative or NO_WORDS)
        if shot.source is not None:
            assert self.pictures is not None
            wide, high = shape[2] * self.vae_scale, shape[1] * self.vae_scale
            values["source"] = self.pictures.value(shot.source, wide, high)
        return values

    def _encode_negative(self, text: str) -> Value:
        """As `encode_prompt`, but the empty text is zeros for models that were trained so."""
        value = self.encode_prompt(text)
        return value if text or not self._zeros else Value(torch.zeros_like(value.tensor))

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
            self.mix_negative.forget()
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
        """Latents of one shot's inputs, of any kind, on the plain path; any thread."""
        kind = Kind.of(inputs)
        call = self._alone.get(kind)
        if call is None:
            module = self.sampler.sampling if "rows" in inputs else self.denoise
            made = TracedGraph(module) if self.hardware.device.type == "cpu" else module
            call = self._alone.setdefault(kind, made)
        return call(**inputs)

    def paint(self, **inputs: torch.Tensor) -> torch.Tensor:
        """uint8 RGBX [B, H, W, 4] of a batch of the inputs of any kind."""
        latents = self.sampler.sampling if "rows" in inputs else self.denoise
        pixels: torch.Tensor = self.decode(latents(**inputs))
        return pixels

    def paint_by(self, step: Paint, **inputs: torch.Tensor) -> torch.Tensor:
        """As `paint`, by another `denoise` or, for its inputs, another step of `sampler`."""
        sampling = self.sampler.sampling
        latents = sampling.run(step, **inputs) if "rows" in inputs else step(**inputs)
        pixels: torch.Tensor = self.decode(latents)
        return pixels

    def synchronize(self) -> None:
        """Wait for the device, so that each stage's time is measured correctly."""
        if self.hardware.device.type == "cuda":
            torch.cuda.synchronize(self.hardware.device)
        elif self.hardware.device.type == "mps":
            torch.mps.synchronize()

    def release(self) -> None:
        """Free the weights and return the device's memory."""
        del self.denoise, self.decode, self.encode_prompt, self.mix_prompts, self.mix_negative
        del self.sampler, self.pictures, self._alone, self.loras
        free_cached_memory(self.hardware.device.type)


def _either(counts: Sequence[int]) -> str:
    *others, last = map(str, counts)
    return f"{', '.join(others)} or {last}" if others else last


def free_cached_memory(device: str) -> None:
    """Return the allocator's unused memory to the device."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
    elif device == "mps":
        torch.mps.empty_cache()
