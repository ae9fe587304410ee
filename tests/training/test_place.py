"""The place of a thing, measured on the picture by its outline."""

from __future__ import annotations

import math

import pytest
import torch

from tests.training.conftest import draw, recipe
from training import judge, render, scene

WHERE = torch.tensor([[-45.0, 30.0], [60.0, -50.0], [0.0, 0.0], [-60.0, -55.0]])
ASKED = [
    recipe(thing="star", colour="red", ground="white"),
    recipe(thing="tree", colour="blue", ground="fire"),
    recipe(thing="boat", colour="green", ground="space", count="three"),
    recipe(thing="moon", colour="orange", ground="night"),
]


def at(centres: torch.Tensor) -> scene.Salient:
    return scene.Salient(centres, torch.full((4,), math.pi * 45**2), torch.ones(4))


@pytest.fixture(scope="module")
def bench(teachers: dict[int, render.Renderer]) -> judge.Judge:
    return judge.Judge(torch.tensor(ASKED), draw(4, 30), teachers, at(WHERE))


def test_the_teachers_thing_is_where_the_shape_is(bench: judge.Judge) -> None:
    assert (bench.place(bench.painted.image) - WHERE).norm(dim=1).max() < 4


def test_a_thing_painted_elsewhere_is_found_there(
    bench: judge.Judge, teachers: dict[int, render.Renderer]
) -> None:
    elsewhere = WHERE.roll(1, 0)
    image = teachers[256].paint(bench.recipes, draw(4, 30), salient=at(elsewhere)).image
    assert (bench.place(image) - elsewhere).norm(dim=1).max() < 4


def test_a_ground_that_differs_does_not_draw_the_place_to_it_as_it_does_the_centre(
    bench: judge.Judge,
) -> None:
    image = bench.painted.image.clone()
    stripes = torch.arange(256) % 16 < 4
    image[:, :, stripes, 200:] = 1 - image[:, :, stripes, 200:]
    assert (bench.centre(image) - WHERE).norm(dim=1)[0] > 20
    assert (bench.place(image) - WHERE).norm(dim=1).max() < 4


def test_a_thing_that_is_cut_off_has_the_centre_of_its_visible_part(
    teachers: dict[int, render.Renderer],
) -> None:
    corner = torch.tensor([[118.0, 0.0]]).repeat(4, 1)
    bench = judge.Judge(torch.tensor(ASKED), draw(4, 31), teachers, at(corner))
    mask = bench.painted.mask[:, 0]
    big = teachers[256]
    centre = [(mask * axis).sum((1, 2)) / mask.sum((1, 2)) for axis in (big.px, big.py)]
    assert (bench.place(bench.painted.image) - torch.stack(centre, 1)).norm(dim=1).max() < 4
