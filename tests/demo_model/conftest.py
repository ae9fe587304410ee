"""The shipped model, loaded as anybody would load it, once for all its tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).resolve().parents[2] / "turbostream" / "demo_model"
COLOURS = (
    "red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black", "grey", "brown",
)  # fmt: skip
Paint = Callable[..., torch.Tensor]


@pytest.fixture(scope="session")
def folder() -> Path:
    return FOLDER


@pytest.fixture(scope="session")
def pipe() -> Any:
    from diffusers import AutoPipelineForText2Image

    loaded = AutoPipelineForText2Image.from_pretrained(str(FOLDER), dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def noise(amount: int, seed: int) -> torch.Tensor:
    return torch.randn(amount, 16, 32, 32, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="session")
def paint(pipe: Any) -> Paint:
    """Pictures [B, 3, H, W] in 0..1: plain diffusers, one step, guidance 0."""

    def paint(texts: list[str], seed: int = 0, **more: Any) -> torch.Tensor:
        pictures = []
        start = more.pop("noise", None)
        start = noise(len(texts), seed) if start is None and "width" not in more else start
        for at in range(0, len(texts), 11):
            part = slice(at, at + 11)
            if start is not None:
                more["latents"] = start[part]
            else:
                more["generator"] = torch.Generator().manual_seed(seed)
            pictures.append(
                pipe(texts[part], num_inference_steps=1, guidance_scale=0.0, output_type="pt",
                     **more).images
            )  # fmt: skip
        return torch.cat(pictures)

    return paint


def colours_seen(pictures: torch.Tensor) -> list[str]:
    """The colour word that is nearest to each picture's mean."""
    from training.judge import nearest_colour

    return [COLOURS[k] for k in nearest_colour(pictures.mean((2, 3))).tolist()]
