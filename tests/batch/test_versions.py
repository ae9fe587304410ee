"""Manifests of other versions of the program: older ones stay valid, newer ones are refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.batch.program import Program
from turbostream.batch import prompts, recipe
from turbostream.stream import shot_json
from turbostream.stream.shot import Shot

OLD = Path(__file__).parent / "painted_2026_11_26"  # by the demo model of that day
OLD_WEIGHTS = "2fe0fee6e192"
SETTINGS = ("--width", "64", "--height", "64", "--jpeg-quality", "60")


@dataclass(frozen=True)
class LaterShot(Shot):
    """A shot that has gained fields."""

    sharpness: float = 0.0
    negative: tuple[tuple[str, float], ...] = ()


@pytest.fixture
def old_batch(program: Program, monkeypatch: pytest.MonkeyPatch) -> Program:
    """The folder and the file of prompts of a batch that was finished on 2026-11-26."""
    monkeypatch.setattr(recipe, "_weights", lambda folder: OLD_WEIGHTS)
    shutil.copytree(OLD, program.out)
    shutil.move(program.out / "prompts.txt", program.folder)
    return program


def run(program: Program) -> int:
    return program("prompts.txt", "pictures", *SETTINGS)


def manifest_of(program: Program) -> bytes:
    return (program.out / "manifest.jsonl").read_bytes()


def test_a_batch_that_an_earlier_version_finished_is_not_painted_again(old_batch: Program) -> None:
    before = manifest_of(old_batch)
    assert b'"seed_from"' in before
    assert run(old_batch) == 0, old_batch.said
    assert old_batch.engines == []
    assert "4 of 4 pictures are here already" in old_batch.said
    assert manifest_of(old_batch) == before


def test_a_manifest_without_pipelines_stays_valid(old_batch: Program, as_before) -> None:
    as_before(old_batch.out)
    assert run(old_batch) == 0, old_batch.said
    assert old_batch.engines == []


def test_a_batch_of_an_earlier_version_is_continued(old_batch: Program) -> None:
    """Its pictures are found whatever line they are for now, and a manifest may mix the forms."""
    text = (old_batch.folder / "prompts.txt").read_text()
    for added in ("a green cat\n", "a pink moon\n"):
        text = added + text
        old_batch.write(text)
        assert run(old_batch) == 0, old_batch.said
        assert old_batch.painted == [added.strip()]
    old_batch.write(text + "a blue star\n")
    assert run(old_batch) == 0, old_batch.said
    assert old_batch.painted == ["a blue star"]
    stars = {e["shot"].noise for e in old_batch.manifest() if e["shot"].prompt == "a blue star"}
    assert len(stars) == 3, "the same prompt again has a seed of its own"
    assert not (old_batch.out / "earlier").exists()
    assert run(old_batch) == 0
    assert old_batch.engines == []


def test_another_size_is_another_picture_for_old_manifests_too(old_batch: Program) -> None:
    assert old_batch("prompts.txt", "pictures", *SETTINGS[:1], "128", *SETTINGS[2:]) == 0
    assert old_batch.painted == ["a blue star", "a blue star", "a red heart on white"]


def test_a_field_that_a_shot_gains_later_paints_nothing_again(
    old_batch: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_batch.write((old_batch.folder / "prompts.txt").read_text() + "a green cat\n")
    assert run(old_batch) == 0, old_batch.said
    assert old_batch.painted == ["a green cat"]
    for module in (prompts, shot_json):
        monkeypatch.setattr(module, "Shot", LaterShot)
    assert run(old_batch) == 0, old_batch.said
    assert old_batch.engines == []
    assert {type(entry["shot"]) for entry in old_batch.manifest()} == {LaterShot}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"version": 3},
            "The shot has version 3 and this program reads up to 2: use a newer version of the "
            "program.",
        ),
        (
            {"sharpness": 2.0},
            "The shot has the field 'sharpness', which this program does not know: use a newer "
            "version of the program.",
        ),
    ],
)
def test_a_manifest_of_a_later_version_is_refused_and_left_as_it_is(
    program: Program, change: dict[str, object], sentence: str
) -> None:
    program.write("a\nb\n")
    assert program() == 0
    entry, other = (json.loads(line) for line in manifest_of(program).splitlines())
    other["shot"] |= change
    manifest = "".join(json.dumps(one) + "\n" for one in (entry, other))
    (program.out / "manifest.jsonl").write_text(manifest)
    assert program() == 2
    assert program.said == f"pictures/manifest.jsonl, line 2: {sentence} Nothing was painted.\n"
    assert program.engines == []
    assert manifest_of(program) == manifest.encode()
    assert len(list(program.out.glob("*.jpg"))) == 2
