"""The traced UNet gives what the UNet gives, and what cannot be traced runs untraced."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode

from tests.engine.conftest import CPU, pipeline
from turbostream.engine.model.model import Model
from turbostream.engine.rewrite import traced

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
def ours() -> Model:
    return Model(pipeline(), CPU)


@torch.inference_mode()
def test_other_noise_and_words_give_the_modules_latents_to_the_bit(
    ours: Model, noise_of_seed: Noise
) -> None:
    counted = Counted(ours.denoise)
    graph = traced.TracedGraph(counted)
    for seed in range(traced.CALLS + 4):
        noise, words = noise_of_seed(seed), ours.encode_prompt(f"{seed} red stars").tensor[None]
        assert torch.equal(graph(noise=noise, words=words), ours.denoise(noise, words))
    assert counted.runs == traced.CALLS + 2  # the trace, and the verification


@torch.inference_mode()
def test_another_size_is_traced_again_but_not_sizes_that_take_turns(
    ours: Model,
) -> None:
    counted = Counted(ours.denoise)
    graph = traced.TracedGraph(counted)
    words = ours.encode_prompt("a red star").tensor[None]

    def paint(high: int, times: int) -> int:
        before = counted.runs
        for _ in range(times):
            noise = torch.randn(1, ours.latent_channels, high, 8)
            assert torch.equal(graph(noise=noise, words=words), ours.denoise(noise, words))
        return counted.runs - before

    assert paint(8, traced.CALLS) == paint(16, traced.CALLS) == traced.CALLS + 2
    assert paint(16, 3) == 0
    for high in (8, 16) * 3:
        assert paint(high, traced.CALLS - 1) == traced.CALLS - 1


@torch.inference_mode()
def test_what_takes_long_is_not_traced(
    ours: Model, noise_of_seed: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traced, "SLOWEST_TRACED_S", 0.0)
    counted = Counted(ours.denoise)
    graph = traced.TracedGraph(counted)
    words = ours.encode_prompt("a red star").tensor[None]
    for seed in range(traced.CALLS + 2):
        graph(noise=noise_of_seed(seed), words=words)
    assert counted.runs == traced.CALLS + 2


class Writes(torch.nn.Module):
    def forward(self, noise: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        return (noise * 2).add_(words.sum())


class Reads(torch.nn.Module):
    def forward(self, noise: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        return noise * float(words.sum())


class Forgets(torch.nn.Module):
    """Another result on every call: a trace of it would be wrong."""

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
def test_what_cannot_be_traced_goes_on_as_it_is(module: torch.nn.Module) -> None:
    counted = Counted(module)
    graph = traced.TracedGraph(counted)
    noise, words = torch.randn(1, 4, 8, 8), torch.randn(1, 3, 4)
    for _ in range(traced.CALLS):
        graph(noise=noise, words=words)
    runs = counted.runs
    graph(noise=noise, words=words)
    assert counted.runs == runs + 1
    torch.manual_seed(1)
    got = graph(noise=noise, words=words)
    torch.manual_seed(1)
    assert torch.equal(got, module(noise, words))
