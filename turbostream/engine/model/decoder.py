"""The choice of the decoder that turns latents into pictures, with the reason.

For a 512x512 picture TAESD (madebyollin/taesd, MIT) needs 141 GFLOP and the full decoder 2514,
three times as much as the UNet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffusers import AutoencoderTiny

from turbostream.engine.device.hardware import Hardware
from turbostream.engine.model.stable_diffusion import UNREADABLE

TAESD_SCALING = 0.18215  # TAESD's latents are those of Stable Diffusion 1 and 2


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
    if pipe.vae.config.latent_channels != 4 or pipe.vae.config.scaling_factor != TAESD_SCALING:
        return None, "full: the tiny decoder is for Stable Diffusion's latents, and these differ"
    if isinstance(folder, str):
        return None, f"full: {folder}"
    try:
        tiny = AutoencoderTiny.from_pretrained(folder, dtype=hardware.dtype, local_files_only=True)
    except UNREADABLE as error:
        return None, f"full: the tiny decoder in {folder} cannot be loaded ({error})"
    return tiny.to(hardware.device), "tiny: TAESD, a twentieth of the full decoder's work"
