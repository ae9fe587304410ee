"""The benchmarks' stand-in for SD-Turbo goes where the real one goes: through diffusers' own call,
which the guide's recipe is, and through ours."""

from __future__ import annotations

import pytest
import torch

from benchmarks import models
from tests.engine.conftest import CPU
from turbostream.engine.model.model import Model

SMALL: dict[str, dict[str, object]] = {
    "UNET": {
        "sample_size": 8,
        "block_out_channels": (32, 32, 64, 64),
        "attention_head_dim": (1, 1, 2, 2),
        "cross_attention_dim": 64,
    },
    "VAE": {"block_out_channels": (32, 32, 32, 32)},
    "TEXT": {
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    },
}


def test_it_paints_by_the_recipe_and_by_our_own_step(monkeypatch: pytest.MonkeyPatch) -> None:
    for part, sizes in SMALL.items():
        monkeypatch.setattr(models, part, {**getattr(models, part), **sizes})

    pipe = models.load(None, CPU, full_vae=True)
    picture = pipe("a red star", num_inference_steps=1, guidance_scale=0.0).images[0]
    assert picture.size == (64, 64)

    model = Model(models.load(None, CPU), CPU)
    words = [model.encode_prompt(prompt).tensor for prompt in ("a red star", "a blue star")]
    assert words[0].shape == (77, 64)
    assert not torch.equal(*words)
    with torch.inference_mode():
        pixels = model.paint(
            noise=torch.randn(1, *model.latent_shape(None, None)), prompt_embedding=words[0][None]
        )
    assert pixels.shape == (1, 64, 64, 4)
    assert pixels[..., :3].float().std() > 1
