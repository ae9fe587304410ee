"""A second run into a folder: nothing is painted twice, nothing is overwritten."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.batch.program import Program
from turbostream.engine.weights import DEMO_FOLDER


def seeds(program: Program) -> dict[str, int]:
    return {e["shot"].prompt: e["shot"].noise[0][0] for e in program.manifest()}


def test_a_finished_batch_is_not_painted_again(program: Program) -> None:
    program.write("a\nb\n")
    assert program() == 0
    assert program() == 0
    assert program.engines == []
    assert "2 of 2 pictures are here already" in program.said


def test_an_inserted_line_paints_one_picture_and_the_numbers_follow_the_file(
    program: Program,
) -> None:
    program.write("a\nb\nc\n")
    assert program("prompts.txt", "pictures", "--seed", "50") == 0
    before = seeds(program)
    program.write("a\nnew\nb\nc\n")
    assert program("prompts.txt", "pictures", "--seed", "50") == 0
    assert program.painted == ["new"]
    assert list(program.prompts().items()) == [
        ("000001.jpg", "a"),
        ("000003.jpg", "b"),
        ("000004.jpg", "c"),
        ("000002.jpg", "new"),
    ]
    assert {**seeds(program), **before} == seeds(program)
    assert program("prompts.txt", "pictures", "--seed", "50") == 0
    assert program.engines == []


def test_lines_that_change_places_take_their_pictures_along(program: Program) -> None:
    program.write("a\nb\nc\n")
    program()
    program.write("c\na\nb\n")
    assert program() == 0
    assert program.engines == []
    assert program.prompts() == {"000001.jpg": "c", "000002.jpg": "a", "000003.jpg": "b"}


def test_the_same_words_again_get_a_seed_of_their_own(program: Program) -> None:
    program.write("cat\ndog\ncat\n")
    program()
    program.write("cat\ncat\n")
    assert program() == 0
    assert program.engines == []
    program.write("cat\ncat\ncat\n")
    assert program() == 0
    assert program.painted == ["cat"]
    assert len({e["shot"].noise for e in program.manifest()}) == 3


def test_another_seed_paints_the_counted_ones_again_and_not_the_others(program: Program) -> None:
    program.write('a\n{"prompt": "b", "seed": 9}\n')
    program()
    assert program("prompts.txt", "pictures", "--seed", "1") == 0
    assert program.painted == ["a"]


def test_a_second_file_into_the_same_folder_overwrites_nothing(program: Program) -> None:
    program.write("a\nb\n")
    program()
    first = {f.read_bytes() for f in program.out.glob("*.jpg")}
    program.write("x\ny\nz\n")
    assert program() == 0
    assert "2 pictures that are no longer asked for were moved to pictures/earlier" in program.said
    assert program.prompts() == {"000001.jpg": "x", "000002.jpg": "y", "000003.jpg": "z"}
    assert {f.read_bytes() for f in program.out.glob("earlier/*.jpg")} == first
    assert len(program.manifest(program.out / "earlier")) == 2
    program.write("a\nb\n")  # and back: what was painted is not painted a second time
    assert program() == 0
    assert program.engines == []
    assert program.prompts() == {"000001.jpg": "a", "000002.jpg": "b"}
    assert len(list(program.out.glob("earlier/*.jpg"))) == 3


@pytest.mark.parametrize("how", [("--jpeg-quality", "50"), ("--model-id", "{model}")])
def test_another_quality_or_model_paints_again_and_says_so(
    program: Program, how: tuple[str, str], tmp_path: Path
) -> None:
    program.write("a\nb\n")
    program()
    model = other_model(tmp_path / "model") if "{model}" in how else ""
    how = (how[0], how[1].format(model=model))
    assert program("prompts.txt", "pictures", *how) == 0
    assert program.painted == ["a", "b"]
    assert "2 of the pictures in pictures/earlier are painted again with the present settings" in (
        program.said
    )
    assert len(list(program.out.glob("earlier/*.jpg"))) == 2
    assert program() == 0  # and back
    assert program.engines == []


def other_model(folder: Path) -> Path:
    """The demo model with one number of it changed."""
    shutil.copytree(DEMO_FOLDER, folder)
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    data = bytearray(weights.read_bytes())
    for place in range(len(data) // 2, len(data), 5000):
        data[place] ^= 1
    weights.write_bytes(data)
    return folder


def test_the_same_model_in_another_folder_is_the_same(program: Program, tmp_path: Path) -> None:
    program.write("a\n")
    program()
    shutil.copytree(DEMO_FOLDER, tmp_path / "copy")
    assert program("prompts.txt", "pictures", "--model-id", str(tmp_path / "copy")) == 0
    assert program.engines == []


def test_a_manifest_of_before_recipes_stays_valid(program: Program, as_before) -> None:
    program.write('a\n{"prompt": "b", "seed": 7}\nc\n')
    program()
    as_before(program.out)
    assert program() == 0
    assert program.engines == []
    as_before(program.out)
    program.write('new\na\n{"prompt": "b", "seed": 7}\nc\n')
    assert program() == 0
    assert program.painted == ["new"]
    as_before(program.out)
    assert program("prompts.txt", "pictures", "--jpeg-quality", "20") == 0
    assert len(program.painted) == 4
