"""Inductor's kernels for the denoising step, compiled ahead of time into one file.

`torch.export` and AOTInductor rather than `torch.compile`: the file is loaded without Dynamo and
on any thread, in a fraction of a second; the weights stay outside it and are shared with the
plain path. Loading and running it hold the GIL (torch's aoti_package/pybind.cpp), so
`background_compiler.py` keeps each of these calls short. Compiling needs the architecture alone,
so that another process does it without loading any weights (`python -m
turbostream.engine.cuda.aot`, started by `background_compiler.py`).
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
from turbostream.engine.model.step import Denoise, Schedule
from turbostream.engine.rewrite import folded, norms

OPTIONS: dict[str, Any] = {
    # Weights are given at load time, and shared with the plain path.
    "aot_inductor.package_constants_in_so": False,
    # Or it writes the numbers of small ones into the code (can_inline_constant in its graph.py):
    # conv_out's bias, and those here are not the real ones.
    "always_keep_tensor_constants": True,
    # The wrapper runs once, under graph capture: optimising it would only cost time.
    "aot_inductor.compile_wrapper_opt_level": "O0",
    # PyTorch's own libstdc++, by its file: a linker that takes the static one gives the code a
    # second one, and loading it fails or crashes (docs/experiments.md).
    "aot_inductor.custom_op_libs": [":libstdc++.so.6"] if sys.platform == "linux" else None,
    # A precompiled header pays from the third file on; a job has one.
    "aot_inductor.precompile_headers": False,
}


@dataclass(frozen=True)
class Job:
    """All that decides the compiled code of one batch size."""

    unet: dict[str, Any]  # the UNet's configuration
    schedule: Schedule
    batch: int
    inputs: Declaration
    dtype: str
    device: str
    options: dict[str, Any] = field(default_factory=dict)  # Inductor's, beside OPTIONS
    norms: bool = True  # norms.py; without it in the ladder

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
    denoise: Denoise,
    batch: int,
    inputs: Declaration,
    device: str,
    options: Mapping[str, Any] | None = None,
) -> Job:
    """The job for `denoise` with these inputs; `options` are Inductor's, beside OPTIONS."""
    unet: Any = denoise.unet
    config = json.loads(unet.to_json_string())
    dtype = _name(denoise.dtype)
    return Job(config, denoise.schedule, batch, inputs, dtype, device, options=dict(options or {}))


@torch.no_grad()
def architecture(job: Job) -> Denoise:
    """The module of `job` with random weights.

    Random, not what lay in memory: fresh memory is zeros, and Inductor has passes that write a
    tensor whose numbers are all the same into the code (fx_passes/joint_graph.py).
    """
    dtype = getattr(torch, job.dtype)
    with torch.device("meta"):
        unet: Any = UNet2DConditionModel.from_config(job.unet)
    unet = unet.to(dtype).to_empty(device=job.device).eval()
    for parameter in unet.parameters():
        parameter.normal_()
    folded.prepare(unet, job.schedule.timestep)
    if job.norms:
        norms.rewrite(unet)
    return Denoise(unet, job.schedule, dtype).to(job.device)


def write(job: Job, path: Path) -> str:
    """Compile `job` into a package at `path`, which appears complete and after it has run once, or
    not at all; returns what took how long."""
    import torch._inductor  # here: the stream's process has no need of it

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
            # Here first: code that a machine's compiler or linker got wrong may end the process
            # that loads it (seen: std::regex linked statically), and that must not be the stream's.
            call = load(unfinished, module, job.inputs)
            call(**inputs).cpu()  # waits, so that a bad kernel shows here
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    times = (exported - started, compiled - exported, time.perf_counter() - compiled)
    return "export {:.1f} s, Inductor {:.1f} s, first run {:.1f} s".format(*times)


def load(path: Path, denoise: Denoise, inputs: Declaration) -> Paint:
    """The compiled step with the weights of `denoise`, which it shares; any thread."""
    # The loader itself, and not torch's aoti_load_package around it: that compiles and tries test
    # programs for the processor's vector units first, for 40 s on an H100's host.
    # Single-threaded, the third argument: without it the runner records events that a graph
    # capture cannot hold. Then one runner, on the current device.
    loader = torch._C._aoti.AOTIModelPackageLoader(str(path), "model", True, 1, -1)
    # All names: both halves of an enlargement have the one bias.
    parameters = dict(denoise.named_parameters(remove_duplicate=False))
    weights = {**parameters, **dict(denoise.named_buffers())}
    wanted = {name: weights[name] for name in loader.get_constant_fqns()}
    # The time embedding is folded into the blocks, and an enlargement has weights for one kind of
    # size; whatever else is missing was folded wrongly.
    spare = ("time_embedding", "upsamplers")
    if lost := [n for n in parameters if n not in wanted and not any(s in n for s in spare)]:
        raise RuntimeError(f"the compiled code has its own numbers in place of {lost[0]}")
    # All of them into the active buffer, and not a copy, which would double the weights; but torch
    # (2.11, 2.13) never frees the handles it makes (MaybeOwningAtenTensorHandle in
    # aoti_runtime/utils.h), so the weights stay until the process ends.
    loader.load_constants(wanted, False, True, True)

    def call(**tensors: torch.Tensor) -> torch.Tensor:
        latents: torch.Tensor = loader.boxed_run(list(ordered(inputs, tensors)))[0]
        return latents

    call.weights = wanted  # type: ignore[attr-defined]  # kept alive as long as the code is
    return call


def _main() -> None:
    """Standard input holds the path, the number of threads, and the job."""
    import torch._inductor

    order = json.load(sys.stdin)
    job = Job.from_json(order["job"])
    config: Any = torch._inductor.config
    config.compile_threads = order["threads"]
    if job.device != "cpu":
        # Or it compiles and tries programs for the processor's vector units, for 40 s.
        config.cpp.vec_isa_ok = False
    if hasattr(config, "loop_reindexing_after_fusion"):
        # torch 2.13.0: upsample -> conv -> GroupNorm is up to 6 times slower with it (pytorch
        # #189488); this can go when the pinned torch has the fix.
        config.loop_reindexing_after_fusion = False
    sys.stderr.write(write(job, Path(order["path"])) + "\n")


if __name__ == "__main__":
    _main()
