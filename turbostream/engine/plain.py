"""The plain path: one shot after the other, on the calling thread, on any device.

What the CPU and Metal take, what ACCELERATION=off takes, and what is left when nothing else fits
into a GPU's memory.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from turbostream.engine.model import OneStepModel
from turbostream.engine.text import Words


class Plain:
    """No graph, nothing in flight."""

    def __init__(self, model: OneStepModel) -> None:
        self._model = model

    @torch.inference_mode()
    def paint(
        self, noise: Sequence[torch.Tensor], words: Sequence[Words]
    ) -> tuple[list[NDArray[np.uint8]], dict[str, float]]:
        """Pictures [H, W, 4], and milliseconds a shot of each stage."""
        model, pictures = self._model, []
        denoise_s = decode_s = 0.0
        for one, word in zip(noise, words, strict=True):
            started = time.perf_counter()
            if word.ready is not None:
                word.ready.wait()
            latents = model.denoise_one(one[None].to(model.hardware.device), word.embedding)
            model.synchronize()
            denoised = time.perf_counter()
            pictures.append(model.decode(latents)[0].cpu().numpy())
            denoise_s += denoised - started
            decode_s += time.perf_counter() - denoised
        share = 1000 / max(1, len(pictures))
        return pictures, {"denoise": denoise_s * share, "decode": decode_s * share}
