"""The renderer paints every word, and follows the noise smoothly."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from tests.training.conftest import draw, recipe
from training import render, vocabulary
from training.scene import GROUNDS

Teachers = dict[int, render.Renderer]


def test_every_thing_is_drawn_whole_within_the_frame(
    teachers: Teachers, every_thing: torch.Tensor
) -> None:
    painted = teachers[64].paint(every_thing, draw(len(every_thing), 1))
    covered = painted.mask.mean((1, 2, 3))
    assert covered.min() > 0.03
    assert covered.max() < 0.6
    rim = F.pad(torch.zeros(62, 62), (1,) * 4, value=1.0)
    assert (painted.mask * rim).max() < 0.5


def test_no_two_things_have_one_outline(teachers: Teachers) -> None:
    inside = (teachers[64].atlas[:, 0] < 0).flatten(1).float()
    common = inside @ inside.T
    overlap = common / (inside.sum(1)[:, None] + inside.sum(1) - common)
    assert (overlap - torch.eye(len(inside))).max() < 0.9


def test_every_ground_differs_from_every_other_under_the_same_noise(teachers: Teachers) -> None:
    recipes = torch.tensor([recipe(ground=ground) for ground in GROUNDS])
    pictures = teachers[64].paint(recipes, draw(1, 2).expand(len(recipes), -1, -1, -1)).image
    small = F.adaptive_avg_pool2d(pictures, 16).flatten(1)
    distance = torch.cdist(small, small) / small.shape[1] ** 0.5
    assert (distance + torch.eye(len(small))).min() > 0.02


def test_counts_paint_so_many_copies(teachers: Teachers) -> None:
    recipes = torch.tensor(
        [recipe(thing="circle", ground="white", count=c) for c in vocabulary.COUNTS]
    )
    centres = teachers[64].paint(recipes, draw(4, 3)).layout.centres
    assert (centres[:, :, 0].abs() < 200).sum(1).tolist() == list(vocabulary.COPIES.values())


def test_the_noise_decides_the_place_and_moves_it_without_a_jump(teachers: Teachers) -> None:
    a, b = draw(2, 4)
    angle = torch.linspace(0, math.pi / 2, 60).view(-1, 1, 1, 1)
    recipes = torch.tensor([recipe(thing="star", ground="night")]).expand(60, -1)
    painted = teachers[64].paint(recipes, angle.cos() * a + angle.sin() * b)
    places = painted.layout.centres[:, 0]
    assert (places[-1] - places[0]).norm() > 8
    change = (painted.image[1:] - painted.image[:-1]).abs().mean((1, 2, 3))
    assert change.max() < 5 * change.median()


def test_stars_are_as_large_in_a_small_picture_as_in_a_large_one(teachers: Teachers) -> None:
    recipes, noise = torch.tensor([recipe(ground="night")]), draw(1, 5)
    large, small = (teachers[size].paint(recipes, noise).image for size in (256, 64))
    assert (F.adaptive_avg_pool2d(large, 32) - F.adaptive_avg_pool2d(small, 32)).abs().mean() < 0.01
