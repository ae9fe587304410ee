"""A file of prompts to pictures: whole pictures only, and the next run goes on."""

from __future__ import annotations

import hashlib
import io
import json
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.engines import ColourEngine, ShortReader
from turbostream.batch import Batch, BatchError, Pipeline, batches, read_jobs

PIPELINE = Pipeline("colour", "colour", "", 95)


class BatchEngine(ColourEngine):
    max_batch = 4
    depth = 2


def jobs_of(folder: Path, text: str):
    (folder / "prompts.txt").write_text(text)
    return read_jobs(folder / "prompts.txt", 100, None, None)


def paint(folder: Path, jobs, engine=None) -> tuple[int, str]:
    screen = io.StringIO()
    status = Batch(folder / "out", screen, PIPELINE).paint(
        jobs, lambda: engine or BatchEngine(), 0.36
    )
    return status, screen.getvalue()


def manifest(folder: Path) -> list[dict]:
    lines = (folder / "out/manifest.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_lines_and_json_lines_become_numbered_jobs(tmp_path: Path) -> None:
    jobs = jobs_of(
        tmp_path, 'a\n\n# no\nb\n{"prompt": "c", "seed": 7, "width": 64, "height": 72}\n'
    )
    assert [(j.number, j.shot.prompt, j.shot.noise, j.shot.width) for j in jobs] == [
        (1, "a", ((100, 1.0),), None),
        (2, "b", ((101, 1.0),), None),
        (3, "c", ((7, 1.0),), 64),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "contains no prompt"),
        ("a\n{\n", "line 2"),
        ('{"prompt": "a", "sead": 1}\n', "line 1: there is no field 'sead'"),
        ('{"prompt": "a", "seed": -1}\n', "line 1: seed must be a whole number"),
        ('{"seed": 1}\n', "line 1: The prompt must be text."),
        ("a\nb\x07\n", "line 2: The prompt holds control characters"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_with_its_line(
    tmp_path: Path, text: str, sentence: str
) -> None:
    with pytest.raises(BatchError, match=sentence):
        jobs_of(tmp_path, text)


def test_pictures_and_manifest_agree(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, "".join(f"prompt {n}\n" for n in range(10)))
    status, said = paint(tmp_path, jobs)
    assert status == 0
    assert "10 painted in" in said
    assert "at $0.36 an hour" in said
    entries = manifest(tmp_path)
    assert [entry["number"] for entry in entries] == list(range(1, 11))
    for entry in entries:
        content = (tmp_path / "out" / entry["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
    assert not list((tmp_path / "out").glob("*.tmp"))


def test_the_manifest_notes_what_the_model_does_not_read_of_a_prompt(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, "a red star\na red star on blue\n")
    paint(tmp_path, jobs, ShortReader())
    assert [entry.get("dropped") for entry in manifest(tmp_path)] == [None, "on blue"]
    assert manifest(tmp_path)[1]["shot"]["prompts"] == [["a red star on blue", 1.0]]
    paint(tmp_path, jobs, ShortReader())
    assert len(manifest(tmp_path)) == 2, "the note makes nothing be painted again"


def test_an_interrupted_run_is_gone_on_with(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, "".join(f"prompt {n}\n" for n in range(12)))

    class Killed(BaseException):
        pass

    count = 0

    class Dying(BatchEngine):
        def submit(self, shots) -> Future:
            nonlocal count
            count += 1
            if count == 3:
                raise Killed
            return super().submit(shots)

    with pytest.raises(Killed):
        paint(tmp_path, jobs, Dying())
    with (tmp_path / "out/manifest.jsonl").open("a") as torn:
        torn.write('{"number": 9, "fi')
    before = len(manifest_lines(tmp_path))
    assert 0 < before < 12
    engine = BatchEngine()
    status, said = paint(tmp_path, jobs, engine)
    assert status == 0
    assert f"{before} of 12 pictures are here already" in said
    assert len(engine.shots) == 12 - before
    assert sorted(entry["number"] for entry in manifest(tmp_path)) == list(range(1, 13))


def manifest_lines(folder: Path) -> list[str]:
    lines = (folder / "out/manifest.jsonl").read_text().splitlines()
    return [line for line in lines if line.endswith("}")]


def test_what_was_damaged_or_changed_is_painted_again(tmp_path: Path) -> None:
    jobs = jobs_of(tmp_path, "a\nb\nc\n")
    paint(tmp_path, jobs)
    (tmp_path / "out/000002.jpg").write_bytes(b"torn")
    changed = jobs_of(tmp_path, "a\nb\nd\n")
    engine = BatchEngine()
    paint(tmp_path, changed, engine)
    assert sorted(shot.prompt for shot in engine.shots) == ["b", "d"]


def test_one_bad_picture_does_not_end_the_others(tmp_path: Path) -> None:
    def refuse(shot) -> None:
        if shot.prompt == "b":
            raise RuntimeError("no")

    jobs = jobs_of(tmp_path, "a\nb\nc\n")
    status, said = paint(tmp_path, jobs, BatchEngine(refuse))
    assert status == 1
    assert "000002.jpg (line 2 of the prompts) failed (RuntimeError: no)" in said
    assert [entry["number"] for entry in manifest(tmp_path)] == [1, 3]


def test_batches_are_full_and_of_one_size(tmp_path: Path) -> None:
    wide = '{"prompt": "w", "width": 128, "height": 64}\n'
    jobs = jobs_of(tmp_path, "a\nb\nc\n" + wide * 2 + "d\n")
    assert [len(some) for some in batches(jobs, 2)] == [2, 1, 2, 1]
