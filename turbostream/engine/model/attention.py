"""The choice of the UNet's attention kernel, with the reason."""

from __future__ import annotations

from typing import Any

from turbostream.engine.device.hardware import Hardware


def choose(pipe: Any, wanted: bool | None, hardware: Hardware) -> str:
    """Switch xformers on where it is wanted and works; returns "choice: reason".

    None, XFORMERS=auto, is PyTorch's own scaled_dot_product_attention, which contains the same
    flash kernels since torch 2.0.
    """
    if wanted is False:
        return "sdpa: XFORMERS is no"
    if hardware.device.type != "cuda":
        return f"sdpa: xformers is for NVIDIA GPUs, and this is {hardware.device.type}"
    if wanted is None:
        return "sdpa: PyTorch's own attention; XFORMERS=yes takes xformers'"
    try:
        pipe.enable_xformers_memory_efficient_attention()
    except (ImportError, NotImplementedError, RuntimeError, ValueError) as error:
        return f"sdpa: xformers cannot be used ({str(error).strip().splitlines()[0]})"
    return "xformers: XFORMERS is yes"
