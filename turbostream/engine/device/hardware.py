"""Which device and which number format, each with its reason.

fp16 on CUDA, as the original guide has it, and on MPS, where it halves the traffic. fp32 on the
CPU: measured on two cores of an AMD EPYC, fp16 is emulated there, and bf16 is faster only where
the processor has its instructions (docs/experiments.md).
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from typing import Any

import torch

from turbostream.stream.engine_api import EngineUnusable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hardware:
    device: torch.device
    dtype: torch.dtype
    reason: str

    @property
    def name(self) -> str:
        """The card's or processor's name, for the fingerprint."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return self.device.type


def choose(device: str) -> Hardware:
    """`device` is auto, cpu, cuda or mps; raises EngineUnusable if what was asked is not there."""
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if device == "cuda" and not cuda:
        build = f"this torch ({torch.__version__}) sees no NVIDIA GPU"
        raise EngineUnusable(
            f"DEVICE is cuda, but {build}; check nvidia-smi and run ./setup.sh again."
        )
    if device == "mps" and not mps:
        raise EngineUnusable("DEVICE is mps, but this is not a Mac with Metal; leave DEVICE out.")
    if device == "cuda" or (device == "auto" and cuda):
        return Hardware(torch.device("cuda"), torch.float16, "an NVIDIA GPU is there")
    if device == "mps" or (device == "auto" and mps):
        return Hardware(torch.device("mps"), torch.float16, "an Apple GPU is there")
    reason = "asked for" if device == "cpu" else "no GPU is there"
    return Hardware(torch.device("cpu"), torch.float32, f"{reason}; {os.cpu_count()} cores")


def warm(device: str) -> None:
    """Begin to load cuBLAS and cuDNN, a gigabyte of libraries, while the weights are read: on a
    machine that has just started they take two seconds each. Only once diffusers is imported."""
    if device in ("auto", "cuda") and torch.cuda.is_available():
        threading.Thread(target=_use_the_gpu, name="warm-up").start()


@torch.inference_mode()
def _use_the_gpu() -> None:
    """One small convolution, product and attention."""
    place: Any = {"device": "cuda", "dtype": torch.float16}
    try:
        picture = torch.zeros(1, 64, 64, 64, **place).to(memory_format=torch.channels_last)
        torch.nn.functional.conv2d(picture, torch.zeros(64, 64, 3, 3, **place), padding=1)
        tokens = torch.zeros(1, 4, 64, 64, **place)
        torch.nn.functional.linear(tokens, torch.zeros(64, 64, **place), torch.zeros(64, **place))
        torch.nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
    except RuntimeError as error:  # the engine will meet it too, and say what to do
        log.info("[init] warming up: %s", str(error).partition("\n")[0])
