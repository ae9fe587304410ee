"""The noise decides all that the words leave open, and moves the picture smoothly."""

from __future__ import annotations

import math

import pytest
import torch

from tests.demo_model.conftest import Paint, colours_seen, noise

FRAMES_A_TURN = 600


@pytest.mark.parametrize("prompt", ["blue", "three yellow stars on a night sky", "a red mushroom"])
def test_two_seeds_under_one_prompt_are_visibly_two_pictures(paint: Paint, prompt: str) -> None:
    a, b = paint([prompt, prompt], seed=1)
    differs = ((a - b).abs() > 8 / 255).any(0)
    assert differs.float().mean() >= 0.10


def test_a_walking_noise_moves_the_picture_without_a_jump(paint: Paint) -> None:
    a, b = noise(2, 100)
    angle = torch.arange(24).view(-1, 1, 1, 1) / FRAMES_A_TURN * 2 * math.pi
    frames = paint(["a red mushroom in the forest"] * 24, noise=angle.cos() * a + angle.sin() * b)
    change = (frames[1:] - frames[:-1]).abs().mean((1, 2, 3)) * 255
    assert change.min() > 0
    assert change.max() < 5 * change.median()


@pytest.mark.parametrize(("width", "height"), [(320, 256), (256, 384), (200, 120)])
def test_at_another_size_than_its_own_it_still_paints_the_colour_that_is_said(
    paint: Paint, width: int, height: int
) -> None:
    pictures = paint(["a green background"], width=width, height=height)
    assert pictures.shape == (1, 3, height, width)
    assert colours_seen(pictures) == ["green"]
