"""Opening the local engine: fetch, load, choose, warm up, each choice with its reason."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

import torch

from turbostream.engine.cuda.graph import Graph
from turbostream.engine.cuda.memory import BATCHES, Plan
from turbostream.engine.device import hardware
from turbostream.engine.local_engine import LocalEngine
from turbostream.engine.model import attention, decoder
from turbostream.engine.model.stable_diffusion import OneStepModel, load_pipeline
from turbostream.engine.weights import Weights
from turbostream.engine.weights.hub import fetch, fetch_tiny_decoder
from turbostream.settings import Settings
from turbostream.stream.engine_api import Report
from turbostream.stream.scene import Shot
from turbostream.stream.state import State, Status

log = logging.getLogger(__name__)

MAX_BATCH = BATCHES[-1]
# A thread that waits for the GIL asks for it after so long. Python's own 5 ms are longer than a
# frame: a picture that is ready waited for them to be made a JPEG (docs/experiments.md).
GIL_PATIENCE_S = 0.0005


@dataclass(frozen=True)
class Techniques:
    """What the benchmarks switch; the program takes what stands here."""

    streams: int = 2  # graphs at once: a third costs a frame of latency
    spare: int = 1  # submissions under way beyond one per stream
    # cuDNN's search for each shape: seconds on every thread that calls it, for no gain that was
    # measured (docs/experiments.md).
    cudnn_benchmark: bool = False
    inductor: Mapping[str, Any] = field(default_factory=dict)  # options beside aot.OPTIONS


def open_local(settings: Settings, weights: Weights, report: Report) -> LocalEngine:
    """Fetch, load, make fast and warm up; on the thread that will call it."""
    started = time.perf_counter()
    device = hardware.choose(settings.device)
    folder = fetch(weights, report)
    report(Status(State.LOADING, f"Loading {weights.model_id}."))
    pipe = load_pipeline(folder, device, weights.model_id)
    choices = {
        "device": f"{device.name}, {str(device.dtype).removeprefix('torch.')}: {device.reason}",
        "attention": attention.choose(pipe, settings.xformers, device),
        "threads": threads(device),
    }
    wish = settings.decoder
    where = fetch_tiny_decoder(folder, report) if _wants_tiny(pipe, wish) else "DECODER is full"
    vae, choices["decoder"] = decoder.choose(pipe, wish, where, device)
    name = f"{weights.model_id}@{weights.revision or 'local'}"
    engine = warm_up(pipe, vae, device, name, choices, settings, report)
    log.info("[init] model loaded and compiled")
    for choice in engine.choices.items():
        log.info("[init] %s: %s", *choice)
    log.info("[init] first picture after %.1f s", time.perf_counter() - started)
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
) -> LocalEngine:
    """The engine over a loaded pipeline, after its first picture. `vae` may be None: the
    pipeline's own decoder. The benchmark comes in here, with random weights."""
    torch.backends.cudnn.benchmark = techniques.cudnn_benchmark
    model = OneStepModel(pipe, device, vae)
    model.latent_shape(settings.width, settings.height)  # refused now, not per frame
    kind, reason = acceleration(settings.acceleration, device)
    choices["acceleration"] = f"{kind}: {reason}"
    choices["text"] = "plain: ACCELERATION is off"
    if kind != "off":
        choices["text"] = model.encode_prompt.capture(Graph)
    fingerprint = " ".join(
        (
            name,
            f"torch-{torch.__version__}",
            f"diffusers-{version('diffusers')}",
            device.name.replace(" ", "-"),
            str(device.dtype).removeprefix("torch."),
            choices["decoder"].split(":")[0],
            choices["attention"].split(":")[0],
            f"jpeg-{settings.jpeg_quality}",
        )
    )
    plan = Plan(techniques.streams, MAX_BATCH, techniques.spare)
    plan = Plan(0, 1) if kind == "off" else plan
    if plan.streams:
        sys.setswitchinterval(GIL_PATIENCE_S)
    size = (settings.width, settings.height)
    engine = LocalEngine(model, settings.jpeg_quality, fingerprint, plan, size, choices)
    shot = Shot(settings.initial_prompt, settings.seed, settings.seed + 1, 0.0, *size)
    engine.submit([shot]).result()
    engine.verify([replace(shot, seed_from=settings.seed + turn) for turn in range(engine.depth)])
    if kind == "compile" and engine.plan.streams:
        engine.choose(
            "acceleration", "graph: of PyTorch's own kernels; Inductor compiles behind it"
        )
        engine.compile_in_background(settings.state_folder / "compiled", techniques.inductor)
        if settings.acceleration == "compile" and engine.compiler is not None:
            report(
                Status(State.COMPILING, "Compiling the UNet; the first time takes a minute or two.")
            )
            engine.compiler.wait(1)
            for _ in range(engine.depth):
                engine.submit([shot]).result()
    return engine


def acceleration(wish: str, device: hardware.Hardware) -> tuple[str, str]:
    """(off, graph or compile; why)."""
    if device.device.type != "cuda":
        return "off", f"graphs are for NVIDIA GPUs, and this is {device.device.type}"
    if wish == "off":
        return "off", "ACCELERATION is off"
    if wish == "graph":
        return "graph", "ACCELERATION is graph"
    if torch.cuda.get_device_capability(device.device) < (7, 0):
        return "graph", f"Triton needs a newer card than {device.name}"
    if importlib.util.find_spec("triton") is None:
        return "graph", "torch.compile needs Triton, which is not installed"
    if not any(shutil.which(compiler) for compiler in ("c++", "g++", "clang++")):
        return "graph", "Inductor needs a C++ compiler, and there is none; apt-get install g++"
    return "compile", f"ACCELERATION is {wish}"


def threads(device: hardware.Hardware) -> str:
    """Leave the server a core's share where there are cores to spare; "choice: reason"."""
    cores = os.cpu_count() or 1
    if device.device.type != "cpu":
        return f"{torch.get_num_threads()}: the processor only feeds the GPU"
    if cores > 2:
        torch.set_num_threads(min(torch.get_num_threads(), cores - 1))
        return f"{torch.get_num_threads()}: of {cores} cores, one left to the server"
    return f"{torch.get_num_threads()}: both cores paint; the server takes a few percent of one"


def _wants_tiny(pipe: Any, wish: str) -> bool:
    return wish == "tiny" and type(pipe.vae).__name__ != "AutoencoderTiny"
