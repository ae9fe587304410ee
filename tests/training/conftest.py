"""The teacher at its own size, and a few recipes, once for all tests of the training."""

from __future__ import annotations

import pytest
import torch

from training import judge, model, render, vocabulary
from training.phrases import Meaning

CPU = torch.device("cpu")


def recipe(**said: str) -> list[int]:
    return Meaning(**said).row()


def draw(amount: int, seed: int) -> torch.Tensor:
    shape = (amount, model.LATENT_CHANNELS, model.LATENT_SIZE, model.LATENT_SIZE)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="session")
def teachers() -> dict[int, render.Renderer]:
    return {size: render.Renderer(CPU, size) for size in (256, judge.SIDE, 64)}


@pytest.fixture(scope="session")
def every_thing() -> torch.Tensor:
    """Each thing in red on a grey ground."""
    return torch.tensor([recipe(thing=t, colour="red", ground="grey") for t in vocabulary.THINGS])
