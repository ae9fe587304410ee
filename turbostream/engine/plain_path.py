"""The plain path: one shot at a time, on the calling thread, on any device, without graphs.

Used on the CPU and on Metal, with ACCELERATION=off, for sizes without a graph, and when nothing
else fits into a GPU's memory.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from turbostream.engine.model.inputs import Values
from turbostream.engine.model.model import Model


class Plain:
    """Renders synchronously, with nothing in flight."""

    def __init__(self, model: Model) -> None:
        self._model = model

    @torch.inference_mode()
    def paint(self, values: Sequence[Values]) -> tuple[list[NDArray[np.uint8]], dict[str, float]]:
        """One picture [H, W, 4] per shot's inputs, and the milliseconds per shot of each stage."""
        model, pictures = self._model, []
        denoise_s = decode_s = 0.0
        for shot in values:
            started = time.perf_counter()
            for value in shot.values():
                if value.ready is not None:
                    value.ready.wait()
            device = model.hardware.device
            inputs = {name: value.tensor[None].to(device) for name, value in shot.items()}
            latents = model.denoise_alone(**inputs)
            model.synchronize()
            denoised = time.perf_counter()
            pictures.append(model.decode(latents)[0].cpu().numpy())
            denoise_s += denoised - started
            decode_s += time.perf_counter() - denoised
        share = 1000 / max(1, len(pictures))
        return pictures, {"denoise": denoise_s * share, "decode": decode_s * share}
