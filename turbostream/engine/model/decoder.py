"""The choice of the decoder that turns latents into pictures, with the reason.

For a 512x512 picture TAESD (madebyollin/taesd, MIT) needs 141 GFLOP and the full decoder 2514,
three times as much as the UNet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny

from turbostream.engine.device.hardware import Hardware
from turbostream.engine.model.loading import UNREADABLE

# By the scaling of the latents that they decode: Stable Diffusion 1 and 2, and XL.
TINY = {0.18215: "madebyollin/taesd", 0.13025: "madebyollin/taesdxl"}  # MIT
LATENT_CHANNELS = 4


def repository_of(vae: Any) -> str | None:
    """The hub's name of the tiny decoder for the latents of `vae`; None where there is none."""
    if isinstance(vae, AutoencoderTiny) or vae.config.latent_channels != LATENT_CHANNELS:
        return None
    return TINY.get(vae.config.scaling_factor)


def choose(
    pipe: Any, setting: str, folder: Path | str, hardware: Hardware
) -> tuple[AutoencoderTiny | None, str]:
    """(decoder or None for the model's own, "choice: reason").

    folder: the folder of the tiny decoder's weights, or a clause that says why there is none.
    """
    if isinstance(pipe.vae, AutoencoderTiny):
        return None, "tiny: it is the model's own"
    if setting == "full":
        return None, "full: DECODER is full"
    repository = repository_of(pipe.vae)
    if repository is None:
        return None, "full: there is no tiny decoder for this model's latents"
    if isinstance(folder, str):
        return None, f"full: {folder}"
    try:
        tiny = AutoencoderTiny.from_pretrained(folder, dtype=hardware.dtype, local_files_only=True)
    except UNREADABLE as error:
        return None, f"full: the tiny decoder in {folder} cannot be loaded ({error})"
    name = repository.rpartition("/")[2].upper()
    return tiny.to(hardware.device), f"tiny: {name}, a twentieth of the full decoder's work"


class KLDecoder(torch.nn.Module):
    """Stable Diffusion's full decoder (AutoencoderKL) as a module with one argument."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.post_quant_conv, self.decoder = vae.post_quant_conv, vae.decoder

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        if self.post_quant_conv is not None:
            latents = self.post_quant_conv(latents)
        pictures: torch.Tensor = self.decoder(latents)
        return pictures


def dtype_of(vae: Any, dtype: torch.dtype) -> torch.dtype:
    """The number format of an autoencoder: float32 for one whose values overflow in fp16, as those
    of SDXL's full one do; its pictures would be black."""
    tiny = type(vae).__name__ == "AutoencoderTiny"
    overflows = not tiny and dtype == torch.float16 and vae.config.get("force_upcast", False)
    return torch.float32 if overflows else dtype
