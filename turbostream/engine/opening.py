"""Opens the local engine: fetch the weights, load them, choose the techniques, warm up.

Runs on the thread that will call the engine. Records each choice with its reason; must not know
how a frame is scheduled or served.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

import torch

from turbostream.engine.cuda.graph import Graph
from turbostream.engine.cuda.memory_plan import BATCHES, Plan
from turbostream.engine.device import hardware
from turbostream.engine.device.cpu_share import CpuShare, share
from turbostream.engine.local_engine import LocalEngine
from turbostream.engine.model import attention, decoder, schedule
from turbostream.engine.model.loading import load_pipeline
from turbostream.engine.model.model import Model
from turbostream.engine.stages import Stages
from turbostream.engine.weights import Weights, few_steps, lora_places
from turbostream.engine.weights.hub import fetch, fetch_tiny_decoder
from turbostream.engine.weights.lora_files import LoraFile
from turbostream.settings import Settings
from turbostream.stream.engine_api import EngineUnavailable, Report, Resolve
from turbostream.stream.shot import MAX_SEED, Shot
from turbostream.stream.state import State, Status

log = logging.getLogger(__name__)

MAX_BATCH = BATCHES[-1]
# A thread that waits for the GIL requests it after this time. Python's default of 5 ms is longer
# than a frame, and delayed the JPEG encoding of finished pictures (docs/experiments/2026-11.md).
GIL_SWITCH_INTERVAL_S = 0.0005


@dataclass(frozen=True)
class Techniques:
    """The techniques that benchmarks vary; the program uses the defaults."""

    streams: int = 2  # concurrent graphs; a third adds a frame of latency
    spare: int = 1  # in-flight submissions beyond one per stream
    # cuDNN's search per shape takes seconds on every thread that calls it, without a measured gain
    # (docs/experiments/2026-11.md).
    cudnn_benchmark: bool = False
    inductor: Mapping[str, Any] = field(default_factory=dict)  # options added to aot.OPTIONS


def open_local(
    settings: Settings,
    weights: Weights,
    report: Report,
    resolve: Resolve | None = None,
    stages: Stages | None = None,
    sharing: int = 1,
) -> LocalEngine:
    """Fetch, load, optimise and warm up; on the thread that will call the engine.

    stages: those before this one. sharing: how many engines share the cores.

    Raises EngineUnusable or EngineUnavailable.
    """
    device = hardware.choose(settings.device)
    try:
        return _open_on(device, settings, weights, report, resolve, stages or Stages(), sharing)
    except torch.OutOfMemoryError as error:  # before there is an engine that could do with less
        raise EngineUnavailable(
            f"{weights.model_id} does not fit into the free memory of the {device.name}: end other "
            "programs that use it, or give a smaller MODEL_ID."
        ) from error


def _open_on(
    device: hardware.Hardware,
    settings: Settings,
    weights: Weights,
    report: Report,
    resolve: Resolve | None,
    stages: Stages,
    sharing: int,
) -> LocalEngine:
    folder = fetch(weights, report)
    loras = lora_places.fetch(settings.loras, weights.model_id, folder, report)
    stages.end("files")
    report(Status(State.LOADING, f"Loading {weights.model_id}."))
    pipe = load_pipeline(folder, device, weights.model_id)
    stages.end("weights")
    choices = {
        "device": f"{device.name}, {str(device.dtype).removeprefix('torch.')}: {device.reason}",
        "attention": attention.choose(pipe, settings.xformers, device),
    }
    few = few_steps.of_loras(settings.loras)
    guided = schedule.uses_guidance(pipe.scheduler)
    if few is not None:
        pipe.scheduler = schedule.replaced(pipe.scheduler, few.scheduler)
        choices["scheduler"] = f"{few.scheduler}: the LoRA {few.name} is made for it"
    repository = decoder.repository_of(pipe.vae) if settings.decoder == "tiny" else None
    tiny = fetch_tiny_decoder(folder, repository, report) if repository else "DECODER is full"
    vae, choices["decoder"] = decoder.choose(pipe, settings.decoder, tiny, device)
    if vae is None and decoder.dtype_of(pipe.vae, device.dtype) != device.dtype:
        choices["decoder"] += "; in float32, since it overflows in float16"
    # The folder of a downloaded model is named after its commit.
    name = f"{weights.repository}@{'local' if weights.folder else folder.name}"
    stages.end("decoder")
    engine = warm_up(
        pipe, vae, device, name, choices, settings, report,
        resolve=resolve, loras=loras, few=few, stages=stages, sharing=sharing,
        guided=guided or schedule.uses_guidance(pipe.scheduler),
    )  # fmt: skip
    log.info("[init] model loaded and compiled")
    for choice in engine.choices.items():
        log.info("[init] %s: %s", *choice)
    log.info("[init] %s", stages)
    return engine


def warm_up(
    pipe: Any,
    vae: Any,
    device: hardware.Hardware,
    name: str,
    choices: dict[str, str],
    settings: Settings,
    report: Report,
    techniques: Techniques = Techniques(),  # noqa: B008  (frozen)
    resolve: Resolve | None = None,
    loras: Sequence[LoraFile] = (),
    few: few_steps.FewSteps | None = None,
    stages: Stages | None = None,
    sharing: int = 1,
    guided: bool | None = None,
) -> LocalEngine:
    """An engine for a loaded pipeline, after its first picture.

    vae: another autoencoder, or None for the pipeline's own. resolve: gives the pixels of a shot's
    source; None: shots have none. loras: what shots may name as adapters. few: what one of them is
    made for. stages: those before this one. sharing: how many engines share the cores. guided: as
    for `Model`. Benchmarks call this with random weights.
    """
    stages = stages or Stages()
    torch.backends.cudnn.benchmark = techniques.cudnn_benchmark
    on_cpu = share_of(pipe, device, sharing)
    if on_cpu is None:
        # What is left for this thread are copies and sums of small tensors. A team of threads waits
        # for its slowest one: beside busy programs, copying a source took 8 ms instead of 0.02.
        torch.set_num_threads(1)
    choices["threads"] = str(on_cpu or "1: the model runs on the GPU")
    steps = settings.steps or (few.steps if few else None)
    model = Model(pipe, device, vae, resolve, steps, loras, guided)
    if loras:
        kept = f"{model.loras.bytes_kept / 1e6:.0f} MB of unchanged weights are kept"
        choices["loras"] = f"{', '.join(model.loras.names)}: merged into the weights; {kept}"
    model.latent_shape(settings.width, settings.height)  # refuse a wrong size now, not per frame
    kind, reason = acceleration(settings.acceleration, device)
    choices["acceleration"] = f"{kind}: {reason}"
    choices["sources"] = model.sources
    made = "the LoRA is made for it" if few and few.steps else "the model is made for it"
    reason = made if settings.steps is None else "STEPS"
    choices["steps"] = f"{model.steps}: {reason}"
    choices["text"] = "plain: ACCELERATION is off"
    stages.end("model")
    if kind != "off":
        choices["text"] = model.encode_prompt.capture(Graph)
    stages.end("text graph")
    fingerprint = " ".join(
        (
            name.replace(" ", "-"),  # spaces separate the parts
            f"torch-{torch.__version__}",
            f"diffusers-{version('diffusers')}",
            device.name.replace(" ", "-") + (f"-{on_cpu.threads}" if on_cpu else ""),
            str(device.dtype).removeprefix("torch."),
            choices["decoder"].split(":")[0],
            choices["attention"].split(":")[0],
            f"jpeg-{settings.jpeg_quality}",
            *([few.scheduler] if few else []),
            *([f"steps-{model.steps}"] if model.steps > 1 else []),
            *(f"{lora.name}-{lora.digest()}" for lora in loras),
        )
    )
    plan = Plan(techniques.streams, MAX_BATCH, techniques.spare)
    plan = Plan(0, 1) if kind == "off" else plan
    if plan.streams:
        sys.setswitchinterval(GIL_SWITCH_INTERVAL_S)
    size = (settings.width, settings.height)
    engine = LocalEngine(model, settings.jpeg_quality, fingerprint, plan, size, choices, on_cpu)
    shot = Shot.single(settings.initial_prompt, settings.seed, *size)
    engine.submit([shot]).result()
    stages.end("painting")
    # On a GPU the first mix loads its kernels, 0.1 s that the first fade would wait for.
    model.mix_prompts(((settings.initial_prompt, 0.5), (" ", 0.5)))
    seeds = [(settings.seed + turn) % (MAX_SEED + 1) for turn in range(engine.depth)]
    engine.verify([replace(shot, noise=((seed, 1.0),)) for seed in seeds])
    stages.end("check")
    if kind == "compile" and engine.plan.streams:
        engine.choose(
            "acceleration", "graph: PyTorch's own kernels; Inductor compiles in the background"
        )
        engine.compile_in_background(settings.state_folder / "compiled", techniques.inductor)
        if settings.acceleration == "compile" and engine.compiler is not None:
            report(
                Status(State.COMPILING, "Compiling the UNet; the first time takes a minute or two.")
            )
            engine.compiler.wait(1)
            for _ in range(engine.depth):
                engine.submit([shot]).result()
            stages.end("compilation")
    return engine


def acceleration(setting: str, device: hardware.Hardware) -> tuple[str, str]:
    """(off, graph or compile; the reason)."""
    if device.device.type != "cuda":
        return "off", f"graphs need an NVIDIA GPU, and the device is {device.device.type}"
    if setting == "off":
        return "off", "ACCELERATION is off"
    if setting == "graph":
        return "graph", "ACCELERATION is graph"
    if torch.cuda.get_device_capability(device.device) < (7, 0):
        return "graph", f"Triton needs a newer card than {device.name}"
    if importlib.util.find_spec("triton") is None:
        return "graph", "torch.compile needs Triton, which is not installed"
    if not any(shutil.which(compiler) for compiler in ("c++", "g++", "clang++")):
        return "graph", "Inductor needs a C++ compiler, and none is installed; apt-get install g++"
    return "compile", f"ACCELERATION is {setting}"


def share_of(pipe: Any, device: hardware.Hardware, sharing: int = 1) -> CpuShare | None:
    """How frames share the CPU, which also becomes the number of this thread's operators; None on a
    GPU."""
    if device.device.type != "cpu":
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parameters = sum(one.numel() for one in pipe.unet.parameters())
    found = share(max(1, (cores or 1) // sharing), parameters)
    torch.set_num_threads(found.threads)
    return found
