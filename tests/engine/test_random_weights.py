"""The benchmarks' stand-ins go where the real models go: through diffusers' own call, which the
guide's recipe is, and through ours."""

from __future__ import annotations

import pytest
import torch

from benchmarks import models
from tests.engine.conftest import CPU
from turbostream.engine.device.hardware import Hardware
from turbostream.engine.model.model import Model

# Of the published UNets: Stable Diffusion 2.1, which SD-Turbo was distilled from, XL and 1.5.
PARAMETERS = {"sd-turbo": 865_910_724, "sdxl-turbo": 2_567_463_684, "sd15": 859_520_964}


@pytest.mark.parametrize(
    ("name", "words", "steps"),
    [("sd-turbo", (77, 64), 1), ("sdxl-turbo", (78, 128), 1), ("sd15", (77, 64), 4)],
)
def test_it_paints_by_the_recipe_and_by_our_own_step(
    name: str, words: tuple[int, int], steps: int
) -> None:
    make = models.RANDOM[name]
    pipe = make(CPU, full_vae=True, tiny=True)
    picture = pipe("a red star", num_inference_steps=steps, guidance_scale=0.0).images[0]
    assert picture.size == (64, 64)

    model = Model(make(CPU, tiny=True), CPU)
    assert model.steps == steps
    encoded = [model.encode_prompt(prompt).tensor for prompt in ("a red star", "a blue star")]
    assert encoded[0].shape == words
    assert not torch.equal(*encoded)
    noise = torch.randn(1, *model.latent_shape(None, None))
    with torch.inference_mode():
        latents = model.denoise(noise=noise, prompt_embedding=encoded[0][None])
        pixels = model.decode(latents)
    assert pixels.shape == (1, 64, 64, 4)
    assert pixels[..., :3].float().std() > 1


@pytest.mark.parametrize("name", models.RANDOM)
def test_the_architecture_is_that_of_the_real_model(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "_fill", lambda module, seed: None)  # no data on this device
    pipe = models.RANDOM[name](Hardware(torch.device("meta"), torch.float16, "a test"))
    assert sum(one.numel() for one in pipe.unet.parameters()) == PARAMETERS[name]
    assert pipe.unet.config.sample_size == 64
