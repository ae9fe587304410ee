"""The judge says of a right picture that it is right, and of a wrong one what is wrong."""

from __future__ import annotations

import torch

from tests.training.conftest import draw, recipe
from training import render, vocabulary
from training.judge import Judge
from training.scene import COLUMNS, GROUNDS

Teachers = dict[int, render.Renderer]
NAMES = list(vocabulary.COLOURS)


def seen(teachers: Teachers, asked: list[int], shown: list[int], seed: int) -> dict[str, int]:
    """What the judge sees where `shown` was painted for `asked`, from the same noise."""
    noise = draw(1, seed)
    picture = teachers[256].paint(torch.tensor([shown]), noise).image
    verdict = Judge(torch.tensor([asked]), noise, teachers).see(picture)
    return {key: int(value[0]) for key, value in verdict.items()}


def test_the_teachers_own_picture_of_every_thing_is_right(
    teachers: Teachers, every_thing: torch.Tensor
) -> None:
    noise = draw(len(every_thing), 10)
    judge = Judge(every_thing, noise, teachers)
    verdict = judge.see(judge.painted.image)
    assert (verdict["colour"] == NAMES.index("red")).all()
    assert (verdict["ground"] == NAMES.index("grey")).all()
    told = verdict["shape"] >= 0
    assert told.float().mean() > 0.9
    assert (verdict["shape"] == every_thing[:, COLUMNS.index("thing")])[told].all()
    assert (verdict["count"][told] == 1).all()


def test_the_teachers_own_groups_are_counted_right_though_neighbours_touch(
    teachers: Teachers,
) -> None:
    things = ("cat", "butterfly", "mushroom", "house", "star")
    for count, amount in vocabulary.COPIES.items():
        recipes = torch.tensor(
            [recipe(thing=t, colour="blue", ground="white", count=count) for t in things]
        )
        judge = Judge(recipes, draw(len(things), 11), teachers)
        assert judge.see(judge.painted.image)["count"].tolist() == [amount] * len(things)


def test_a_thing_in_another_colour_is_seen_in_that_colour(teachers: Teachers) -> None:
    asked = recipe(thing="heart", colour="red", ground="white")
    for name in ("pink", "orange", "brown"):
        shown = recipe(thing="heart", colour=name, ground="white")
        assert NAMES[seen(teachers, asked, shown, 12)["colour"]] == name


def test_each_colour_is_seen_as_itself_however_small_or_patterned_the_thing(
    teachers: Teachers,
) -> None:
    for thing, size, pattern in (("sun", "tiny", None), ("mountain", "tiny", "checked"),
                                 ("eye", "small", None), ("rocket", "huge", "dotted")):  # fmt: skip
        every = torch.tensor(
            [
                recipe(thing=thing, colour=name, ground="space", size=size, pattern=pattern)
                for name in NAMES
            ]
        )
        noise = draw(1, 18)
        pictures = teachers[256].paint(every, noise.expand(len(NAMES), -1, -1, -1)).image
        judge = Judge(every[:1], noise, teachers)  # one for all, who are asked for the first colour
        seen = [int(judge.see(picture)["colour"]) for picture in pictures.split(1)]
        assert seen == list(range(len(NAMES)))


def test_a_thing_painted_too_dark_is_seen_in_the_darker_colour(teachers: Teachers) -> None:
    for name, darker in (("white", "grey"), ("orange", "brown")):
        asked = torch.tensor([recipe(thing="heart", colour=name, ground="blue")])
        judge = Judge(asked, draw(1, 19), teachers)
        dark = judge.painted.image * 0.55
        assert NAMES[int(judge.see(dark)["colour"])] == darker


def test_another_ground_is_seen_as_that_ground(teachers: Teachers) -> None:
    for wanted, got in (("night", "space"), ("field", "forest"), ("white", "grey"), ("sea", "sky")):
        asked = recipe(thing="star", colour="pink", ground=wanted)
        shown = recipe(thing="star", colour="pink", ground=got)
        assert GROUNDS[seen(teachers, asked, shown, 13)["ground"]] == got


def test_another_thing_in_its_place_is_seen_as_that_thing(teachers: Teachers) -> None:
    asked = recipe(thing="cat", colour="red", ground="white")
    for name in ("dog", "circle", "mushroom"):
        shown = recipe(thing=name, colour="red", ground="white")
        assert vocabulary.THINGS[seen(teachers, asked, shown, 14)["shape"]] == name


def test_too_few_and_too_many_copies_are_counted_as_they_are(teachers: Teachers) -> None:
    noise = draw(1, 15)
    every = torch.tensor(
        [recipe(thing="heart", colour="red", ground="white", count=c) for c in vocabulary.COUNTS]
    )
    pictures = [teachers[256].paint(shown, noise).image for shown in every.split(1)]
    for wanted, asked in zip(vocabulary.COUNTS, every.split(1), strict=True):
        judge = Judge(asked, noise, teachers)
        for got, picture in zip(vocabulary.COUNTS, pictures, strict=True):
            count = int(judge.see(picture)["count"])
            assert (count == vocabulary.COPIES[wanted]) == (wanted == got)


def test_one_copy_rubbed_out_and_a_blob_over_all_are_not_the_count_that_was_asked(
    teachers: Teachers,
) -> None:
    recipes = torch.tensor([recipe(thing="cat", colour="red", ground="white", count="three")])
    judge = Judge(recipes, draw(1, 16), teachers)
    painted = judge.painted
    x = int(painted.layout.centres[0, 0, 0]) + 128
    y = int(painted.layout.centres[0, 0, 1]) + 128
    rubbed = painted.image.clone()
    hole = (..., slice(max(0, y - 48), y + 48), slice(max(0, x - 44), x + 44))
    rubbed[hole] = painted.ground[hole]
    assert int(judge.see(rubbed)["count"][0]) != 3
    red = torch.tensor([0.85, 0.14, 0.16]).view(1, 3, 1, 1)
    blob = painted.ground.clone()
    blob[..., 40:216, 40:216] = red
    assert int(judge.see(blob)["count"][0]) != 3


def test_pictures_of_other_prompts_are_judged_wrong(teachers: Teachers) -> None:
    recipes = torch.tensor(
        [
            recipe(thing=vocabulary.THINGS[k], colour=NAMES[k % 7], ground=GROUNDS[20 - k])
            for k in range(12)
        ]
    )
    judge = Judge(recipes, draw(12, 17), teachers)
    verdict = judge.see(judge.painted.image.roll(1, 0))
    assert (verdict["shape"] == recipes[:, COLUMNS.index("thing")]).float().mean() < 0.3
    assert (verdict["ground"] == recipes[:, COLUMNS.index("ground")]).float().mean() < 0.3
