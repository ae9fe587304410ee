"""Folders with other files in them or with a damaged manifest."""

from __future__ import annotations

import pytest

from tests.batch.program import Program


def test_foreign_files_are_moved_and_not_overwritten(program: Program) -> None:
    program.out.mkdir()
    (program.out / "000002.jpg").write_bytes(b"a holiday")
    program.write("a\nb\n")
    assert program() == 0
    assert "1 files have the name of a picture to be painted" in program.said
    assert (program.out / "earlier/000002.jpg").read_bytes() == b"a holiday"
    assert len(program.manifest()) == 2


@pytest.mark.parametrize("line", ['{"number": 2, "fi', "[]", "7", '{"number": 2}', "{" * 5000])
def test_a_damaged_manifest_line_is_reported_and_costs_only_its_picture(
    program: Program, line: str
) -> None:
    program.write("a\nb\n")
    program()
    manifest = program.out / "manifest.jsonl"
    manifest.write_text(manifest.read_text().splitlines()[0] + "\n" + line)
    assert program() == 0
    assert program.painted == ["b"]
    assert "line 2 of pictures/manifest.jsonl cannot be read" in program.said
    assert len(program.manifest()) == 2
    assert not (program.out / "earlier").exists()


def test_a_manifest_torn_in_its_first_line_is_continued(program: Program) -> None:
    program.write("a\n")
    program()
    manifest = program.out / "manifest.jsonl"
    manifest.write_bytes(manifest.read_bytes()[:70])
    assert program() == 0
    assert len(program.manifest()) == 1


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n\0\0\xff", b"hello\nworld\n", b"[1, 2]\n"])
def test_a_file_that_is_not_a_manifest_is_refused_with_one_sentence(
    program: Program, content: bytes
) -> None:
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
def test_an_output_path_that_is_a_file_is_refused_with_one_sentence(
    program: Program, out: str
) -> None:
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
