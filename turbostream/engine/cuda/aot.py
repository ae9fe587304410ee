"""Ahead-of-time compilation of the denoising step with Inductor, into one package file.

`torch.export` and AOTInductor rather than `torch.compile`: the package is loaded without Dynamo,
on any thread, in a fraction of a second, and the weights stay outside it and are shared with the
plain path. Loading and running a package hold the GIL (torch's aoti_package/pybind.cpp), so
`background_compiler.py` keeps each of these calls short. Compiling needs only the architecture,
so it runs in another process that loads no weights (`python -m turbostream.engine.cuda.aot`,
started by `background_compiler.py`).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from turbostream.engine.model.inputs import Declaration, Input, Paint, batched, ordered
from turbostream.engine.model.step import Denoise, DenoiseAt, Schedule
from turbostream.engine.rewrite import folded, norms
from turbostream.engine.rewrite.timesteps import TimeTable

Step = Denoise | DenoiseAt

OPTIONS: dict[str, Any] = {
    # Weights are passed at load time and shared with the plain path.
    "aot_inductor.package_constants_in_so": False,
    # By default Inductor inlines small constants (can_inline_constant in its graph.py), such as
    # conv_out's bias. The compiling process has random weights, so the values would be wrong.
    "always_keep_tensor_constants": True,
    # The wrapper runs once, during graph capture, so optimising it only costs compile time.
    "aot_inductor.compile_wrapper_opt_level": "O0",
    # Link PyTorch's own libstdc++ by file name. A linker that picks the static library gives the
    # package a second copy, and loading it fails or crashes (docs/experiments/2026-11.md).
    "aot_inductor.custom_op_libs": [":libstdc++.so.6"] if sys.platform == "linux" else None,
    # A precompiled header saves time from the third file on; a job compiles one file.
    "aot_inductor.precompile_headers": False,
}


@dataclass(frozen=True)
class Job:
    """Everything that determines the compiled code of one batch size."""

    unet: dict[str, Any]  # the UNet's configuration
    schedule: Schedule
    vae_scale: int
    batch: int
    inputs: Declaration
    dtype: str
    device: str
    options: dict[str, Any] = field(default_factory=dict)  # Inductor options added to OPTIONS
    norms: bool = True  # apply norms.py; the benchmark of single techniques turns it off
    timed: bool = False  # a step at each shot's own timestep

    def as_json(self) -> str:
        values = asdict(self)
        for one in values["inputs"]:
            one["dtype"] = _name(one["dtype"])
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Job:
        values = json.loads(text)
        values["schedule"] = Schedule(**values["schedule"])
        values["inputs"] = tuple(
            Input(**{**one, "shape": tuple(one["shape"]), "dtype": getattr(torch, one["dtype"])})
            for one in values["inputs"]
        )
        return cls(**values)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def job_of(
    denoise: Step,
    batch: int,
    inputs: Declaration,
    device: str,
    options: Mapping[str, Any] | None = None,
) -> Job:
    """The job for `denoise` with these inputs; `options` are Inductor options added to OPTIONS."""
    unet: Any = denoise.unet
    config = json.loads(unet.to_json_string())
    dtype = _name(denoise.dtype)
    timed = isinstance(denoise, DenoiseAt)
    chosen = dict(options or {})
    return Job(
        config, denoise.schedule, denoise.vae_scale, batch, inputs, dtype, device, chosen,
        timed=timed,
    )  # fmt: skip


@torch.no_grad()
def architecture(job: Job) -> Step:
    """The module of `job` with random weights.

    Random rather than uninitialised: fresh memory may be all zeros, and Inductor inlines tensors
    whose elements are all equal (fx_passes/joint_graph.py).
    """
    dtype = getattr(torch, job.dtype)
    with torch.device("meta"):
        unet: Any = UNet2DConditionModel.from_config(job.unet)
    unet = unet.to(dtype).to_empty(device=job.device).eval()
    for parameter in unet.parameters():
        parameter.normal_()
    is_folded = folded.prepare(unet, job.schedule.timestep, keep=job.timed)
    if job.norms:
        norms.rewrite(unet)
    if job.timed:
        if is_folded:
            TimeTable(unet, job.schedule.timestep)
        return DenoiseAt(unet, job.schedule, dtype, job.vae_scale, is_folded).to(job.device)
    return Denoise(unet, job.schedule, dtype, job.vae_scale).to(job.device)


def write(job: Job, path: Path) -> str:
    """Compile `job` into a package at `path`; returns the time of each phase as text.

    The file appears only when it is complete and has run once.
    """
    import torch._inductor  # imported here because the stream's process does not need it

    module = architecture(job)
    inputs = batched(
        job.inputs,
        job.batch,
        lambda shape, dtype: torch.randn(shape, device=job.device, dtype=dtype),
    )
    unfinished = path.with_name(f".{path.stem}.{os.getpid()}.pt2")
    try:
        with torch.no_grad():
            started = time.perf_counter()
            with norms.RowsCat() if job.norms else nullcontext():
                program = torch.export.export(
                    module, tuple(ordered(job.inputs, inputs)), strict=False
                )
            exported = time.perf_counter()
            torch._inductor.aoti_compile_and_package(
                program, package_path=str(unfinished), inductor_configs={**OPTIONS, **job.options}
            )
            compiled = time.perf_counter()
            # Loaded in this process first: a package built by a faulty compiler or linker may
            # crash the process that loads it (seen with a statically linked std::regex), and that
            # must not be the stream's process.
            call = load(unfinished, module, job.inputs)
            call(**inputs).cpu()  # synchronises, so a faulty kernel fails here
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    times = (exported - started, compiled - exported, time.perf_counter() - compiled)
    return "export {:.1f} s, Inductor {:.1f} s, first run {:.1f} s".format(*times)


def load(path: Path, denoise: Step, inputs: Declaration) -> Paint:
    """The compiled step, sharing the weights of `denoise`; any thread."""
    # The loader itself rather than torch's aoti_load_package, which first compiles and runs test
    # programs for the CPU's vector units: 40 s on the host of an H100. The third argument means
    # single-threaded; otherwise the runner records events, which a graph capture does not allow.
    # The last two: one runner, on the current device.
    loader = torch._C._aoti.AOTIModelPackageLoader(str(path), "model", True, 1, -1)
    # Duplicates included: both convolutions of an upsampling module share one bias.
    parameters = dict(denoise.named_parameters(remove_duplicate=False))
    weights = {**parameters, **dict(denoise.named_buffers())}
    wanted = {name: weights[name] for name in loader.get_constant_fqns()}
    # The time embedding is folded into the blocks, and an upsampling module uses one of its two
    # sets of weights. Any other parameter that the package does not take was inlined by mistake.
    unused = ("time_embedding", "upsamplers")
    if lost := [n for n in parameters if n not in wanted and not any(s in n for s in unused)]:
        raise RuntimeError(f"the compiled code contains its own values for {lost[0]}")
    # Into the active buffer, without a copy, which would double the memory for weights. Torch
    # (2.11, 2.13) never frees the handles it creates (MaybeOwningAtenTensorHandle in
    # aoti_runtime/utils.h), so the weights stay allocated until the process ends.
    loader.load_constants(wanted, False, True, True)

    def call(**tensors: torch.Tensor) -> torch.Tensor:
        latents: torch.Tensor = loader.boxed_run(list(ordered(inputs, tensors)))[0]
        return latents

    call.weights = wanted  # type: ignore[attr-defined]  # keeps them alive as long as `call`
    return call


def _main() -> None:
    """Compile the job read from standard input: a JSON object with path, threads and job."""
    import torch._inductor

    order = json.load(sys.stdin)
    job = Job.from_json(order["job"])
    config: Any = torch._inductor.config
    config.compile_threads = order["threads"]
    if job.device != "cpu":
        # Otherwise Inductor compiles and runs test programs for the CPU's vector units: 40 s.
        config.cpp.vec_isa_ok = False
    if hasattr(config, "loop_reindexing_after_fusion"):
        # torch 2.13.0: upsample -> conv -> GroupNorm is up to 6 times slower with it (pytorch
        # #189488); this can go when the pinned torch has the fix.
        config.loop_reindexing_after_fusion = False
    sys.stderr.write(write(job, Path(order["path"])) + "\n")


if __name__ == "__main__":
    _main()
