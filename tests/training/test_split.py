"""What the evaluation asks for is never in the training's prompts."""

from __future__ import annotations

import random

import pytest

from training import filler, vocabulary
from training.phrases import Writer, write
from training.split import HELD_COLOURS, HELD_GROUNDS, held_pair, held_phrasing
from training.things import THINGS

AMOUNT = 4000


def written(held: bool) -> list[tuple[str, str, bool]]:
    """Text, phrasing, and whether its pair is a held one."""
    writer, out = Writer(random.Random(5), held), []
    for _ in range(AMOUNT // 10 if held else AMOUNT):
        text, meaning = writer.prompt()
        pair = held_pair(meaning.thing, meaning.colour, meaning.ground)
        out.append((text, writer.phrasing, pair))
    return out


@pytest.fixture(scope="module")
def training() -> list[tuple[str, str, bool]]:
    return written(held=False)


@pytest.fixture(scope="module")
def evaluation() -> list[tuple[str, str, bool]]:
    return written(held=True)


def test_training_never_sees_a_held_pair_of_thing_and_colour_or_ground(training: list) -> None:
    assert not any(pair for _, _, pair in training)


def test_training_never_sees_a_held_phrasing(training: list) -> None:
    assert not any(held_phrasing(phrasing) for _, phrasing, _ in training)


def test_the_evaluation_asks_for_held_pairs_in_held_phrasings_alone(evaluation: list) -> None:
    assert all(pair and held_phrasing(phrasing) for _, phrasing, pair in evaluation)


def test_no_prompt_and_no_phrasing_is_in_both(training: list, evaluation: list) -> None:
    for part in (0, 1):
        assert not {row[part] for row in training} & {row[part] for row in evaluation}


def test_every_thing_has_two_held_colours_and_grounds_none_of_them_its_own() -> None:
    for name in vocabulary.THINGS:
        assert len(HELD_COLOURS[name]) == len(HELD_GROUNDS[name]) == 2
        assert THINGS[name].natural not in HELD_COLOURS[name]
        assert THINGS[name].ground not in HELD_GROUNDS[name]


def test_unknown_words_of_the_evaluation_are_others_than_the_trainings() -> None:
    assert filler.HELD
    assert not set(filler.HELD) & set(filler.TRAINED)


def test_the_same_seed_writes_the_same_prompts_and_another_seed_others() -> None:
    assert write(3, 50) == write(3, 50)
    assert write(3, 50) != write(4, 50)
