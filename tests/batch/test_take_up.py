"""A second run into a folder: nothing is painted twice, nothing is overwritten."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.batch.program import BatchEngine, Program
from turbostream.engine.weights import DEMO_FOLDER
from turbostream.stream.shot import Shot


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


def test_files_of_somebody_else_are_moved_and_not_overwritten(program: Program) -> None:
    program.out.mkdir()
    (program.out / "000002.jpg").write_bytes(b"a holiday")
    program.write("a\nb\n")
    assert program() == 0
    assert "1 files have the name of a picture to be painted" in program.said
    assert (program.out / "earlier/000002.jpg").read_bytes() == b"a holiday"
    assert len(program.manifest()) == 2


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


@pytest.mark.parametrize("line", ['{"number": 2, "fi', "[]", "7", '{"number": 2}', "{" * 5000])
def test_a_torn_or_odd_line_is_said_and_costs_its_picture_only(program: Program, line: str) -> None:
    program.write("a\nb\n")
    program()
    manifest = program.out / "manifest.jsonl"
    manifest.write_text(manifest.read_text().splitlines()[0] + "\n" + line)
    assert program() == 0
    assert program.painted == ["b"]
    assert "line 2 of pictures/manifest.jsonl cannot be read" in program.said
    assert len(program.manifest()) == 2
    assert not (program.out / "earlier").exists()


def test_a_manifest_torn_in_its_first_line_is_gone_on_with(program: Program) -> None:
    program.write("a\n")
    program()
    manifest = program.out / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:70])
    assert program() == 0
    assert len(program.manifest()) == 1


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\0\0\xff", b"hello\nworld\n", b"[1, 2]\n"])
def test_a_manifest_that_is_none_is_one_sentence(program: Program, content: bytes) -> None:
    program.write("a\n")
    program.out.mkdir()
    (program.out / "manifest.jsonl").write_bytes(content)
    assert program() == 2
    assert program.said == (
        "pictures/manifest.jsonl is not a manifest of pictures: move it away, or give another "
        "folder.\n"
    )
    assert (program.out / "manifest.jsonl").read_bytes() == content


@pytest.mark.parametrize("out", ["taken", "taken/inside"])
def test_an_output_that_is_a_file_is_one_sentence(program: Program, out: str) -> None:
    program.write("a\n")
    (program.folder / "taken").write_text("")
    assert program("prompts.txt", out) == 2
    assert program.said == f"{out} is a file; give a folder for the pictures.\n"
    assert program.engines == []


def test_a_folder_with_a_pictures_name_is_moved_too(program: Program) -> None:
    program.write("a\n")
    (program.out / "000001.jpg").mkdir(parents=True)
    assert program() == 0, program.said
    assert (program.out / "earlier/000001.jpg").is_dir()


def test_a_second_run_at_once_is_one_sentence_and_paints_nothing(program: Program) -> None:
    program.write("a\n")
    program.out.mkdir()
    held = os.open(program.out, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert program() == 2
    finally:
        os.close(held)
    assert program.said == (
        "Another run is painting into pictures: wait until it has ended, or give another folder.\n"
    )
    assert program.engines == []
    assert program() == 0


def test_while_one_run_paints_another_is_refused(program: Program) -> None:
    program.write("a\nb\n")
    statuses = []

    def second(_: object) -> None:
        if not statuses:
            statuses.append(0)
            held = program.next_engine
            program.next_engine = None
            statuses[0] = program._main(["prompts.txt", "pictures"])
            program.next_engine = held

    program.next_engine = BatchEngine(second)
    assert program() == 0
    assert statuses == [2]
    assert len((program.out / "manifest.jsonl").read_text().splitlines()) == 2


def test_an_error_that_the_engine_raises_at_once_costs_its_picture_only(program: Program) -> None:
    class Raising(BatchEngine):
        def submit(self, shots) -> Future:
            if any(shot.prompt == "b" for shot in shots):
                raise RuntimeError("no such size")
            return super().submit(shots)

    program.write("a\nb\nc\n")
    program.next_engine = Raising()
    assert program() == 1
    assert "000002.jpg (line 2 of the prompts) failed (RuntimeError: no such size)" in program.said
    assert sorted(program.prompts().values()) == ["a", "c"]


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_a_signal_ends_it_with_one_sentence_and_the_next_run_goes_on(
    program: Program, number: signal.Signals, status: int
) -> None:
    program.write("".join(f"{n}\n" for n in range(12)))

    def interrupt(shot: Shot) -> None:
        if shot.prompt == "9":
            os.kill(os.getpid(), number)
            threading.Event().wait(5)  # the handler runs in this thread: it raises here

    program.next_engine = BatchEngine(interrupt)
    assert program() == status
    assert "Interrupted; the same command continues from here." in program.said
    assert "Traceback" not in program.said
    here = len(program.manifest())
    assert 0 < here < 12
    program.next_engine = None
    assert program() == 0
    assert len(program.painted) == 12 - here
    assert not list((program.folder / "state/busy").glob("*"))


def test_a_screen_that_has_gone_does_not_end_the_painting(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    program.write("a\nb\n")
    with os.fdopen(writer, "w") as broken:
        monkeypatch.setattr("sys.stderr", broken)
        assert program() == 0
        monkeypatch.undo()
        with pytest.raises(BrokenPipeError):
            broken.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)
    assert len((program.out / "manifest.jsonl").read_text().splitlines()) == 2
