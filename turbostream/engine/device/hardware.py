"""The choice of device and number format, each with its reason.

fp16 on CUDA, as in the original guide, and on MPS, where it halves the memory traffic. fp32 on the
CPU: most CPUs emulate fp16, and bf16 is faster only where the CPU has instructions for it.
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
        """The name of the GPU, or the type of another device; part of the fingerprint."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return self.device.type


def choose(device: str) -> Hardware:
    """`device` is auto, cpu, cuda or mps; raises EngineUnusable if it is not available."""
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if device == "cuda" and not cuda:
        raise EngineUnusable(
            f"DEVICE is cuda, but this torch ({torch.__version__}) finds no NVIDIA GPU; check "
            "nvidia-smi and run ./setup.sh again."
        )
    if device == "mps" and not mps:
        raise EngineUnusable("DEVICE is mps, but this is not a Mac with Metal; do not set DEVICE.")
    if device == "cuda" or (device == "auto" and cuda):
        return Hardware(torch.device("cuda"), torch.float16, "an NVIDIA GPU is available")
    if device == "mps" or (device == "auto" and mps):
        return Hardware(torch.device("mps"), torch.float16, "an Apple GPU is available")
    reason = "DEVICE is cpu" if device == "cpu" else "no GPU is available"
    return Hardware(torch.device("cpu"), torch.float32, f"{reason}; {os.cpu_count()} cores")


def warm(device: str) -> None:
    """Start loading cuBLAS and cuDNN while the weights are read: a gigabyte of libraries, two
    seconds each on a machine that has just booted. Call it only after diffusers is imported."""
    if device in ("auto", "cuda") and torch.cuda.is_available():
        threading.Thread(target=_use_the_gpu, name="warm-up").start()


@torch.inference_mode()
def _use_the_gpu() -> None:
    """Run one small convolution, matrix product and attention."""
    place: Any = {"device": "cuda", "dtype": torch.float16}
    try:
        picture = torch.zeros(1, 64, 64, 64, **place).to(memory_format=torch.channels_last)
        torch.nn.functional.conv2d(picture, torch.zeros(64, 64, 3, 3, **place), padding=1)
        tokens = torch.zeros(1, 4, 64, 64, **place)
        torch.nn.functional.linear(tokens, torch.zeros(64, 64, **place), torch.zeros(64, **place))
        torch.nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
    except RuntimeError as error:  # opening the engine will raise it too, with a sentence
        log.info("[init] warm-up failed: %s", str(error).partition("\n")[0])
