"""`torch.compile` on the UNet, as in the original guide."""

from __future__ import annotations

import importlib.util
import shutil

import torch

from turbostream.engine.model import OneStepModel
from turbostream.stream.seam import Progress, Report


def choose(model: OneStepModel, wish: str, report: Report) -> str:
    """Compile the UNet and the decoder where it helps; returns "choice: reason"."""
    if wish == "off":
        return "off: ACCELERATION is off"
    if model.hardware.device.type != "cuda":
        return (
            f"off: torch.compile is used on NVIDIA GPUs, and this is {model.hardware.device.type}"
        )
    if importlib.util.find_spec("triton") is None:
        return "off: torch.compile needs Triton, which is not installed"
    if not any(shutil.which(compiler) for compiler in ("cc", "gcc", "clang")):
        return "off: Triton needs a C compiler, and there is none; apt-get install gcc"
    report(Progress("compiling", "Compiling the UNet; the first time takes about a minute."))
    model.unet = torch.compile(model.unet)
    return "compile: the UNet is compiled by Inductor"
