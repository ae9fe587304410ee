"""Which attention kernel the UNet uses, with the reason."""

from __future__ import annotations

from typing import Any

from turbostream.engine.device.hardware import Hardware


def choose(pipe: Any, wish: str, hardware: Hardware) -> str:
    """Switch xformers on where it is asked for and works; returns "choice: reason".

    `auto` is PyTorch's own scaled_dot_product_attention, which has held the same flash kernels
    since torch 2.0.
    """
    if wish == "no":
        return "sdpa: XFORMERS is no"
    if hardware.device.type != "cuda":
        return f"sdpa: xformers is for NVIDIA GPUs, and this is {hardware.device.type}"
    if wish == "auto":
        return "sdpa: PyTorch's own attention; XFORMERS=yes takes xformers'"
    try:
        pipe.enable_xformers_memory_efficient_attention()
    except (ImportError, ModuleNotFoundError, NotImplementedError, RuntimeError, ValueError) as why:
        return f"sdpa: xformers cannot be used ({str(why).strip().splitlines()[0]})"
    return "xformers: XFORMERS is yes"
