"""Ended at each step: killed between any two writes, and on a disk that fills up at each size."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.batch.program import Program

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="mounts a small disk")


class Killed(BaseException):
    """As kill -9: nothing but what is on the disk is left."""


@contextmanager
def killed_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """Ends the program at its `step`th change of a name or write to the disk."""
    steps = 0

    def counted(real):
        def call(*arguments, **options):
            nonlocal steps
            steps += 1
            if steps >= step:  # also whatever it does on its way out
                raise Killed
            return real(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("rename", "replace", "unlink", "mkdir", "rmdir"):
            patch.setattr(Path, name, counted(getattr(Path, name)))
        patch.setattr(os, "fsync", counted(os.fsync))
        yield lambda: steps


def test_killed_at_any_step_no_picture_is_lost_or_painted_twice(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three keep their pictures and change places, two are moved aside, one comes back."""
    step = 0
    while True:
        step += 1
        program.write("z\na\nb\nc\n")
        assert program() == 0
        program.write("a\nb\nc\nd\ne\n")
        assert program() == 0
        program.write("e\nc\nz\nb\n")  # d and a go aside
        try:
            with killed_at(step, monkeypatch) as taken:
                assert program() == 0
        except Killed:
            pass
        else:
            break
        assert taken() >= step
        assert program() == 0, f"step {step}: {program.said}"
        assert program.engines == [], f"step {step}: painted {program.painted}"
        assert program.prompts() == dict(
            zip((f"00000{n}.jpg" for n in (1, 2, 3, 4)), "eczb", strict=True)
        )
        aside = program.manifest(program.out / "earlier")
        assert sorted(entry["shot"].prompt for entry in aside) == ["a", "d"], f"step {step}"
        assert not list(program.out.glob("*.tmp")) + list(program.out.glob("*.moving"))
        for file in [*program.out.glob("earlier/*"), *program.out.glob("*.*")]:
            file.unlink()
    assert step > 10


def test_killed_at_any_step_of_painting_no_file_is_torn(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.write("".join(f"{n}\n" for n in range(9)))
    step = 0
    while True:
        step += 1
        try:
            with killed_at(step, monkeypatch):
                assert program() == 0
        except Killed:
            pass
        else:
            break
        whole = len(program.manifest()) if (program.out / "manifest.jsonl").exists() else 0
        assert program() == 0
        assert len(program.painted) == 9 - whole, f"step {step}"
        assert len(program.manifest()) == 9
        assert [p.name for p in program.out.iterdir() if p.suffix not in (".jpg", ".jsonl")] == []
        for file in program.out.iterdir():
            file.unlink()
    assert step > 10


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@needs_root
@pytest.mark.parametrize("kind", ["size={}k", "nr_inodes={}"])
def test_a_disk_that_is_full_at_any_size_is_one_sentence_and_the_next_run_goes_on(
    program: Program, kind: str
) -> None:
    program.write("".join(f"{n}\n" for n in range(12)))
    sizes = range(4, 84, 4) if "size" in kind else range(2, 18)
    full = done = 0
    for size in sizes:
        with small_disk(program.out, kind.format(size)):
            status = program()
            if status == 0:
                done += 1
                continue
            full += 1
            assert status == 2, program.said
            sentences = [s for s in program.said.splitlines() if not s.startswith("[batch] ")]
            assert sentences == [
                "The disk with pictures is full: free some space and run the same command again; "
                "it continues from here, and every picture in the manifest is complete."
            ]
            whole = len(program.manifest()) if (program.out / "manifest.jsonl").exists() else 0
            assert not list(program.out.glob("*.tmp"))
            more = "remount,size=1m,nr_inodes=100"
            subprocess.run(["mount", "-o", more, str(program.out)], check=True)
            assert program() == 0, program.said
            assert len(program.painted) == 12 - whole
            assert len(program.manifest()) == 12
            assert not (program.out / "earlier").exists()
    assert full > 5
    assert done > 0


@needs_root
def test_a_full_disk_while_pictures_change_places_loses_none(program: Program) -> None:
    for size in range(20, 60, 4):
        with small_disk(program.out, "size=1m"):
            program.write("a\nb\nc\nd\n")
            assert program() == 0
            program.write("d\nc\nx\n")
            used = sum(-(-f.stat().st_size // 4096) * 4 for f in program.out.iterdir())
            remount = ["mount", "-o", f"remount,size={max(size, used)}k", str(program.out)]
            subprocess.run(remount, check=True)
            status = program()
            assert status in (0, 2)
            subprocess.run(["mount", "-o", "remount,size=1m", str(program.out)], check=True)
            first = program.painted
            assert program() == 0
            assert set(program.painted) | set(first) <= {"x"}
            assert program.prompts() == {
                "000001.jpg": "d",
                "000002.jpg": "c",
                "000003.jpg": "x",
            }
            aside = program.manifest(program.out / "earlier")
            assert sorted(entry["shot"].prompt for entry in aside) == ["a", "b"]
