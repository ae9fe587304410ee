"""The noise that diffusers' schedulers draw between steps, replaced by that of a shot."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.schedulers import scheduling_lcm, scheduling_tcd

from turbostream.engine.model.noise import noise_of
from turbostream.stream.shot import Shot


def draw_from(shot: Shot, shape: tuple[int, ...], patch: pytest.MonkeyPatch) -> None:
    """LCM's and TCD's scheduler get the shot's noise after its first, in order. shape: of the
    latents of one picture, [C, H/8, W/8]. Serves one call of a pipeline."""
    numbers = iter(range(1, 10))

    def drawn(*_: Any, **__: Any) -> torch.Tensor:
        return noise_of(shot.noise, shape, number=next(numbers))[None]

    for module in (scheduling_lcm, scheduling_tcd):
        patch.setattr(module, "randn_tensor", drawn)
