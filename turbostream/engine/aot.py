"""Inductor's kernels for the denoising step, compiled ahead of time into one file.

`torch.export` and AOTInductor rather than `torch.compile`: the file is loaded without Dynamo,
without the GIL and on any thread, in a fraction of a second, so the stream can go on meanwhile;
the weights stay outside it and are shared with the plain path. Compiling needs the architecture
alone, so that another process does it without loading any weights (`python -m
turbostream.engine.aot`, started by `behind.py`).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch._inductor
from diffusers import UNet2DConditionModel

from turbostream.engine import folded
from turbostream.engine.step import Denoise, Schedule

Call = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

OPTIONS: dict[str, Any] = {
    # Weights are given at load time, and shared with the plain path.
    "aot_inductor.package_constants_in_so": False,
    # The wrapper runs once, under graph capture: optimising it would only cost time.
    "aot_inductor.compile_wrapper_opt_level": "O0",
}


@dataclass(frozen=True)
class Job:
    """All that decides the compiled code of one batch size."""

    unet: dict[str, Any]  # the UNet's configuration
    schedule: Schedule
    noise: tuple[int, ...]  # [B, C, H/8, W/8]
    words: tuple[int, ...]  # [B, tokens, hidden]
    dtype: str
    device: str

    def as_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Job:
        values = json.loads(text)
        values["schedule"] = Schedule(**values["schedule"])
        return cls(**{**values, "noise": tuple(values["noise"]), "words": tuple(values["words"])})


def job_of(denoise: Denoise, noise: tuple[int, ...], words: tuple[int, ...], device: str) -> Job:
    """The job for `denoise` at these shapes."""
    unet: Any = denoise.unet
    config = json.loads(unet.to_json_string())
    dtype = str(denoise.dtype).removeprefix("torch.")
    return Job(config, denoise.schedule, noise, words, dtype, device)


def architecture(job: Job) -> Denoise:
    """The module of `job` with whatever numbers lay in memory: only its shapes matter."""
    dtype = getattr(torch, job.dtype)
    with torch.device("meta"):
        unet: Any = UNet2DConditionModel.from_config(job.unet)
    unet = unet.to(dtype).to_empty(device=job.device).eval()
    folded.prepare(unet, job.schedule.timestep)
    return Denoise(unet, job.schedule, dtype).to(job.device)


def write(job: Job, path: Path) -> None:
    """Compile `job` into a package at `path`, which appears complete or not at all."""
    module = architecture(job)
    dtype = getattr(torch, job.dtype)
    noise = torch.randn(job.noise, device=job.device)
    words = torch.randn(job.words, device=job.device, dtype=dtype)
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}.pt2")
    try:
        with torch.no_grad():
            program = torch.export.export(module, (noise, words), strict=False)
            torch._inductor.aoti_compile_and_package(
                program, package_path=str(unfinished), inductor_configs=OPTIONS
            )
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def load(path: Path, denoise: Denoise) -> Call:
    """The compiled step with the weights of `denoise`, which it shares; any thread."""
    # Single-threaded: without it the runner records events that a graph capture cannot hold.
    package: Any = torch._inductor.aoti_load_package(str(path), run_single_threaded=True)
    weights = {**dict(denoise.named_parameters()), **dict(denoise.named_buffers())}
    wanted = {name: weights[name] for name in package.get_constant_fqns()}
    package.load_constants(wanted, check_full_update=True, user_managed=True)

    def call(noise: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        latents: torch.Tensor = package(noise, words)
        return latents

    call.weights = wanted  # type: ignore[attr-defined]  # kept alive as long as the code is
    return call


def _main() -> None:
    """Standard input holds the path, the number of threads, and the job."""
    order = json.load(sys.stdin)
    config: Any = torch._inductor.config
    config.compile_threads = order["threads"]
    if hasattr(config, "loop_reindexing_after_fusion"):
        # torch 2.13.0: upsample -> conv -> GroupNorm is up to 6 times slower with it (pytorch
        # #189488); this can go when the pinned torch has the fix.
        config.loop_reindexing_after_fusion = False
    write(Job.from_json(order["job"]), Path(order["path"]))


if __name__ == "__main__":
    _main()
