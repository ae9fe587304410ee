"""The techniques added one after the other: milliseconds of one frame's device work.

    python -m benchmarks.ablation [--random-weights] [--cache FOLDER] [--no-compile]

On a GPU each step is measured as a CUDA graph of UNet and decoder, so that launching costs nothing;
on a CPU as a plain call. Then each technique alone, and the last step compiled by Inductor (all
packages concurrently, or from the cache of an earlier run), with the frames/s without JPEG of one,
two and three concurrent graphs.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks import measures, models
from benchmarks.run import Run, add_options
from turbostream.engine.cuda import aot, background_compiler, compile_cache, parity
from turbostream.engine.model.decoder import KLDecoder
from turbostream.engine.model.inputs import Declaration, Input, Paint
from turbostream.engine.model.schedule import schedule_of
from turbostream.engine.model.step import Decode, Denoise
from turbostream.engine.rewrite import folded, packed, tiny_decoder, upsampled

MEASURING_S = 40.0  # reserved for measuring after the compilation
COMPILED = (  # name, batch, whether norms.py is applied
    ("Inductor", 1, False),
    ("norms by rows", 1, True),
    ("Inductor, batch 8", 8, False),
    ("norms by rows, batch 8", 8, True),
)
ATTENTION = (
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
)


class Parts:
    """A pipeline without any technique."""

    def __init__(self, run: Run) -> None:
        device, dtype = run.device.device, run.device.dtype
        pipe: Any = models.load(run.folder, run.device)
        self.unet, self.schedule = pipe.unet, schedule_of(pipe.scheduler)
        own = type(pipe.vae).__name__ == "AutoencoderTiny"
        self.decoder = pipe.vae.decoder if own else KLDecoder(pipe.vae)
        self.denoise = Denoise(pipe.unet, self.schedule, dtype, pipe.vae_scale_factor).to(device)
        self.decode = Decode(self.decoder, pipe.vae.config.scaling_factor, dtype).to(device)
        generator = torch.Generator(device).manual_seed(0)
        size, width = pipe.unet.config.sample_size, pipe.unet.config.cross_attention_dim
        shape = (1, pipe.unet.config.in_channels, size, size)
        self.declaration: Declaration = (
            Input("noise", shape[1:], torch.float32, staged=True),
            Input("prompt_embedding", (77, width), dtype, staged=False),
        )
        self.inputs = {
            one.name: torch.randn((1, *one.shape), device=device, generator=generator).to(one.dtype)
            for one in self.declaration
        }

    @property
    def batch(self) -> int:
        return len(self.inputs["noise"])

    def repeat(self, batch: int) -> None:
        """Make the inputs a batch of their first shot."""
        self.inputs = {name: torch.cat([one[:1]] * batch) for name, one in self.inputs.items()}

    def paint(self, denoise: Paint) -> Paint:
        return lambda **inputs: self.decode(denoise(**inputs))


def nhwc(parts: Parts) -> None:
    for module in (parts.denoise, parts.decode):
        module.to(memory_format=torch.channels_last)


def techniques_for(device: str) -> list[tuple[str, Callable[[Parts], object]]]:
    """(name, change) of each technique, in the order in which the engine applies them."""
    techniques: list[tuple[str, Callable[[Parts], object]]] = [
        ("channels_last", nhwc),
        ("query, key and value fused", lambda parts: folded.fuse_qkv(parts.unet)),
        (
            "time embedding folded",
            lambda parts: folded.fold_time(parts.unet, parts.schedule.timestep),
        ),
        ("transformers kept in NHWC", lambda parts: folded.stay_in_nhwc(parts.unet)),
        ("decoder's convolutions fused", lambda parts: tiny_decoder.fuse(parts.decoder, device)),
        ("upsampling transposed", lambda parts: upsampled.fold(parts.unet)),
    ]
    if device == "cpu" and packed.available():
        techniques.append(("convolutions packed for oneDNN", lambda parts: packed.pack(parts.unet)))
    return techniques


class Ablation(Run):
    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self.kind = self.device.device.type
        self.parts: Parts | None = None
        self.first: torch.Tensor | None = None

    def measure(self, name: str, parts: Parts, denoise: Paint | None = None) -> None:
        """One row: UNet and decoder, and the error of the UNet's output to the first row's."""
        denoise = denoise or parts.denoise
        with torch.inference_mode():
            latents = denoise(**parts.inputs)
            self.first = latents if self.first is None else self.first
            error = parity.relative_error(latents, self.first)
            ms = [
                self._ms(denoise, parts),
                self._ms(lambda **_: parts.decode(latents), parts),
            ]
        self.note(**{name: [round(one, 2) for one in ms], f"{name}, error": float(f"{error:.1e}")})

    def _ms(self, paint: Paint, parts: Parts) -> float:
        if not self.cuda:
            return measures.median_ms(lambda: paint(**parts.inputs), "cpu")
        return measures.graphs_ms(paint, parts.inputs, 1)

    def cumulative(self) -> None:
        """Each technique on top of those before it."""
        parts = self.parts = Parts(self)
        if self.cuda:
            with torch.inference_mode():
                call = measures.median_ms(lambda: parts.denoise(**parts.inputs), "cuda")
            self.note(**{"UNet launched one by one": round(call, 2)})
        self.measure("PyTorch's own kernels, NCHW", parts)
        for name, change in techniques_for(self.kind):
            change(parts)
            self.measure(name, parts)
        if self.cuda:
            torch.backends.cudnn.benchmark = True
            self.measure("cuDNN's search (then off again)", parts)
            torch.backends.cudnn.benchmark = False
            matmul = torch.backends.cuda.matmul
            matmul.allow_fp16_accumulation = True  # twice the rate on GeForce cards
            self.measure("fp16 accumulation (then off again)", parts)
            matmul.allow_fp16_accumulation = False
        for kernel in ATTENTION:
            self.attention(kernel, parts)
        self.streams("PyTorch's kernels", parts, parts.denoise)

    def attention(self, kernel: SDPBackend, parts: Parts) -> None:
        """One row with this kernel for all attention; the other rows use PyTorch's choice."""

        def denoise(**inputs: torch.Tensor) -> torch.Tensor:
            with sdpa_kernel(kernel):
                latents: torch.Tensor = parts.denoise(**inputs)
                return latents

        name = f"attention by {kernel.name.removesuffix('_ATTENTION').lower()} (then off again)"
        try:
            self.measure(name, parts, denoise)
        except RuntimeError as error:
            self.note(**{name: f"failed: {str(error).splitlines()[0]}"})

    def streams(self, name: str, parts: Parts, denoise: Paint) -> None:
        """Frames/s without JPEG of one, two and three concurrent graphs."""
        if not self.cuda:
            return
        with torch.inference_mode():
            paint = parts.paint(denoise)
            ms = [measures.graphs_ms(paint, parts.inputs, n) for n in (1, 2, 3)]
        rates = [round(1000 * parts.batch / one, 1) for one in ms]
        self.note(**{f"{name}, frames/s of 1, 2, 3 streams": rates})

    def compiled(self) -> None:
        """Inductor's code on top of all techniques, without and with norms.py."""
        parts = self.parts
        assert parts is not None
        cache = compile_cache.Cache(self.state / "compiled")
        stopping = threading.Event()
        self.at_end.append(stopping.set)

        def compile_one(batch: int, norms: bool) -> Path:
            job = aot.job_of(parts.denoise, batch, parts.declaration, self.kind)
            job = replace(job, norms=norms)
            key = compile_cache.key(job.as_json(), self.device.name)
            path = cache.find(key)
            if path is None:
                path = cache.path(key)
                background_compiler.compile_apart(job, path, stopping)
                cache.seal(key)
            return path

        with ThreadPoolExecutor(len(COMPILED)) as pool:
            paths = [pool.submit(compile_one, *what) for _, *what in COMPILED]
            deadline = time.perf_counter() + self.left_s() - MEASURING_S
            while not all(path.done() for path in paths) and time.perf_counter() < deadline:
                time.sleep(0.2)
            stopping.set()  # the remaining time is for measuring
        for (name, batch, _), path in zip(COMPILED, paths, strict=True):
            if (error := path.exception()) is not None:
                self.note(**{name: f"failed: {error}"})
                continue
            if batch != parts.batch:
                parts.repeat(batch)
                self.first = None
                self.measure(f"PyTorch's kernels, batch {batch}", parts)
            call = aot.load(path.result(), parts.denoise, parts.declaration)
            self.measure(name, parts, call)
            self.streams(name, parts, call)

    def alone(self) -> None:
        """The first five techniques, each alone."""
        for name, change in techniques_for(self.kind)[:5]:
            parts = Parts(self)
            change(parts)
            self.measure(f"alone: {name}", parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    parser.add_argument("--no-compile", action="store_true", help="PyTorch's own kernels only")
    options = parser.parse_args()
    ablation = Ablation(options)
    parts = [ablation.cumulative, ablation.alone]
    if ablation.cuda and not options.no_compile:
        parts.append(ablation.compiled)
    for part in parts:
        ablation.part(part)
    rows = [(name, ms) for name, ms in ablation.row.items() if isinstance(ms, list)]
    return ablation.end("\n".join(f"{name:60} {ms}" for name, ms in rows))


if __name__ == "__main__":
    sys.exit(main())
