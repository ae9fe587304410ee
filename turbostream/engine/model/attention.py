"""The choice of the UNet's attention kernel, with the reason."""

from __future__ import annotations

from typing import Any

from turbostream.engine.device.hardware import Hardware


def choose(pipe: Any, setting: str, hardware: Hardware) -> str:
    """Enable xformers if it was requested and works; returns "choice: reason".

    `auto` is PyTorch's own scaled_dot_product_attention, which has had the same flash kernels
    since torch 2.0.
    """
    if setting == "no":
        return "sdpa: XFORMERS is no"
    if hardware.device.type != "cuda":
        return f"sdpa: xformers needs an NVIDIA GPU, and the device is {hardware.device.type}"
    if setting == "auto":
        return "sdpa: PyTorch's own attention; XFORMERS=yes selects xformers"
    try:
        pipe.enable_xformers_memory_efficient_attention()
    except (ImportError, NotImplementedError, RuntimeError, ValueError) as error:
        return f"sdpa: xformers cannot be used ({str(error).strip().splitlines()[0]})"
    return "xformers: XFORMERS is yes"
