"""Each gate with the mistakes that it must catch, on the very paths that the engine takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch

from turbostream.engine.cuda import parity
from turbostream.engine.model.model import Model
from turbostream.engine.model.step import Denoise

Paint = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
WORDS = ("a red circle", "a blue star on a field")


def refusal(model: Model, denoise: Paint, decode: Paint | None = None) -> str | None:
    """What the gate says of `denoise` (and `decode`) beside the plain step: a batch of two."""
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    words = torch.stack([model.encode_prompt(prompt).tensor for prompt in WORDS])
    with torch.inference_mode():
        latents, plain = denoise(noise, words), model.denoise(noise, words)
        pixels = model.decode(latents) if decode is None else decode(latents, words)
        return parity.refusal(latents, plain, noise, model.schedule, pixels, model.decode(plain))


def test_the_plain_step_itself_passes(model: Model) -> None:
    assert refusal(model, model.denoise) is None


def test_the_rounding_of_half_precision_passes(model: Model) -> None:
    def half(noise: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):  # coarser than fp16
            predicted = model.denoise.unet(noise * 0.99767, model.denoise.timestep, words)[0]
        sample = noise * model.schedule.first_scale
        exact = parity.predicted(model.denoise(noise, words), noise, model.schedule)
        return sample - model.schedule.sigma * (exact + (predicted.float() - exact) / 8)

    assert refusal(model, half) is None


def test_a_wrong_sigma_is_caught(model: Model) -> None:
    schedule = dataclasses.replace(model.schedule, sigma=model.schedule.sigma * 1.02)
    said = refusal(model, Denoise(model.denoise.unet, schedule, torch.float32, 8))
    assert said is not None


def test_words_that_stay_behind_a_change_are_caught(model: Model) -> None:
    stale = model.encode_prompt("what was there before").tensor.repeat(2, 1, 1)
    said = refusal(model, lambda noise, words: model.denoise(noise, stale))
    assert said is not None
    assert "UNet's output differs" in said


def test_two_shots_of_a_batch_swapped_are_caught(model: Model) -> None:
    assert refusal(model, lambda noise, words: model.denoise(noise, words).flip(0)) is not None


def test_the_words_of_two_shots_swapped_are_caught(model: Model) -> None:
    assert refusal(model, lambda noise, words: model.denoise(noise, words.flip(0))) is not None


def test_a_reused_output_is_caught(model: Model) -> None:
    held: dict[str, torch.Tensor] = {}

    def reuses(noise: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        latents = held.setdefault("buffer", torch.zeros_like(noise))
        before = latents.clone()
        latents.copy_(model.denoise(noise, words))
        return before

    assert refusal(model, reuses) is not None


def test_one_wrong_shot_does_not_hide_behind_a_right_one(model: Model) -> None:
    def second_wrong(noise: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        latents = model.denoise(noise, words)
        latents[1] = latents[0]
        return latents

    assert refusal(model, second_wrong) is not None


def test_blue_for_red_is_caught(model: Model) -> None:
    said = refusal(
        model, model.denoise, lambda latents, _: model.decode(latents)[..., [2, 1, 0, 3]]
    )
    assert said is not None
    assert "dB" in said


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_a_number_is_caught(model: Model, value: float) -> None:
    def broken(noise: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        latents = model.denoise(noise, words)
        latents[0, 0, 0, 0] = value
        return latents

    assert refusal(model, broken) is not None
