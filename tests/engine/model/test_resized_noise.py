"""Noise of another size: white, of unit variance, and with the structure of what it comes from."""

from __future__ import annotations

import math

import pytest
import torch

from turbostream.engine.model.noise import gaussian, noise_of
from turbostream.stream.shot import great_circle

DRAWN = (4, 64, 64)
SIZES = [(128, 128), (192, 128), (96, 80), (65, 64), (32, 32), (48, 100)]


@pytest.mark.parametrize("factor", [2, 3])
def test_block_sums_are_the_coarse_noise(factor: int) -> None:
    fine = gaussian(7, (4, 64 * factor, 64 * factor), DRAWN)
    blocks = fine.reshape(4, 64, factor, 64, factor).sum((2, 4)) / factor
    assert torch.allclose(blocks, gaussian(7, DRAWN), atol=1e-5)


def test_the_fine_structure_is_new() -> None:
    fine = gaussian(7, (4, 128, 128), DRAWN).reshape(4, 64, 2, 64, 2)
    assert float((fine[:, :, 0, :, 0] - fine[:, :, 1, :, 1]).std()) == pytest.approx(
        math.sqrt(2), abs=0.05
    ), "neighbours inside a block are independent"


@pytest.mark.parametrize("size", SIZES)
def test_it_is_white_noise_of_unit_variance(size: tuple[int, int]) -> None:
    """Over many seeds, so that noise that is too smooth by a percent would fail."""
    noise = torch.stack([gaussian(seed, (16, *size), (16, 64, 64)) for seed in range(16)])
    margin = 5 / math.sqrt(noise.numel())
    assert float(noise.mean()) == pytest.approx(0, abs=margin)
    assert float((noise * noise).mean()) == pytest.approx(1, abs=2 * margin)
    for axis in (-2, -1):
        for lag in (1, 2):
            pair = noise * noise.roll(lag, axis)
            assert float(pair.mean()) == pytest.approx(0, abs=margin), (axis, lag)
    # The variance of each place, which an uneven ratio of sizes must not modulate.
    places = (noise * noise).mean((0, 1))
    assert float(places.std()) == pytest.approx(math.sqrt(2 / 256), rel=0.1)


def test_an_uneven_ratio_keeps_the_coarse_structure_too() -> None:
    coarse = gaussian(7, DRAWN)
    fine = gaussian(7, (4, 96, 96), DRAWN)
    pooled = (
        x.unfold(-1, n, n).unfold(1, n, n).sum((-1, -2)) / n for x, n in ((coarse, 2), (fine, 3))
    )
    assert torch.allclose(*pooled, atol=1e-5)


def test_it_is_the_same_each_time_and_unlike_the_noise_drawn_at_that_size() -> None:
    first = gaussian(7, (4, 128, 128), DRAWN).clone()
    gaussian.cache_clear()
    assert torch.equal(first, gaussian(7, (4, 128, 128), DRAWN))
    assert not torch.equal(first, gaussian(7, (4, 128, 128)))
    assert torch.equal(gaussian(7, DRAWN, DRAWN), gaussian(7, DRAWN)), "its own size"


def test_a_mix_of_seeds_comes_from_the_same_mix() -> None:
    mix = great_circle(7, 8, 0.6)
    fine = noise_of(mix, (4, 128, 128), DRAWN)
    blocks = fine.reshape(4, 64, 2, 64, 2).sum((2, 4)) / 2
    assert torch.allclose(blocks, noise_of(mix, DRAWN), atol=1e-5)
