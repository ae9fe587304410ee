"""The UNet written down gives what the UNet gives, and what cannot be written down stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode

from tests.engine.conftest import CPU, pipeline
from turbostream.engine import tape
from turbostream.engine.model import OneStepModel

Noise = Callable[..., torch.Tensor]


class Counted(torch.nn.Module):
    """Counts how often it runs."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module, self.runs = module, 0

    def forward(self, noise: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        self.runs += 1
        latents: torch.Tensor = self.module(noise, words)
        return latents


@pytest.fixture(scope="module")
def ours() -> OneStepModel:
    return OneStepModel(pipeline(), CPU)


@torch.inference_mode()
def test_other_noise_and_words_give_the_modules_latents_to_the_bit(
    ours: OneStepModel, noise_of_seed: Noise
) -> None:
    counted = Counted(ours.denoise)
    taped = tape.Tape(counted)
    for seed in range(tape.CALLS + 4):
        noise, words = noise_of_seed(seed), ours.text(f"{seed} red stars").embedding
        assert torch.equal(taped(noise, words), ours.denoise(noise, words))
    assert counted.runs == tape.CALLS + 2  # the writing, and the verification


@torch.inference_mode()
def test_another_size_is_written_down_anew_but_not_sizes_that_take_turns(
    ours: OneStepModel,
) -> None:
    counted = Counted(ours.denoise)
    taped = tape.Tape(counted)
    words = ours.text("a red star").embedding

    def paint(high: int, times: int) -> int:
        before = counted.runs
        for _ in range(times):
            noise = torch.randn(1, ours.latent_channels, high, 8)
            assert torch.equal(taped(noise, words), ours.denoise(noise, words))
        return counted.runs - before

    assert paint(8, tape.CALLS) == paint(16, tape.CALLS) == tape.CALLS + 2
    assert paint(16, 3) == 0
    for high in (8, 16) * 3:
        assert paint(high, tape.CALLS - 1) == tape.CALLS - 1


@torch.inference_mode()
def test_what_takes_long_is_not_written_down(
    ours: OneStepModel, noise_of_seed: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tape, "WORTH_S", 0.0)
    counted = Counted(ours.denoise)
    taped = tape.Tape(counted)
    words = ours.text("a red star").embedding
    for seed in range(tape.CALLS + 2):
        taped(noise_of_seed(seed), words)
    assert counted.runs == tape.CALLS + 2


class Writes(torch.nn.Module):
    def forward(self, noise: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        return (noise * 2).add_(words.sum())


class Reads(torch.nn.Module):
    def forward(self, noise: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        return noise * float(words.sum())


class Forgets(torch.nn.Module):
    """Another result on every call: a tape of it would be wrong."""

    def forward(self, noise: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        return noise + torch.randn(()) + 0 * words.sum()


class Shy(torch.nn.Module):
    """Fails while it is watched."""

    def forward(self, noise: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        if _get_current_dispatch_mode() is not None:
            raise RuntimeError("somebody is watching")
        return noise + words.sum()


@pytest.mark.parametrize("module", [Writes(), Reads(), Forgets(), Shy()])
@torch.inference_mode()
def test_what_cannot_be_written_down_goes_on_as_it_is(module: torch.nn.Module) -> None:
    counted = Counted(module)
    taped = tape.Tape(counted)
    noise, words = torch.randn(1, 4, 8, 8), torch.randn(1, 3, 4)
    for _ in range(tape.CALLS):
        taped(noise, words)
    runs = counted.runs
    taped(noise, words)
    assert counted.runs == runs + 1
    torch.manual_seed(1)
    got = taped(noise, words)
    torch.manual_seed(1)
    assert torch.equal(got, module(noise, words))
