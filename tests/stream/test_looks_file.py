"""The looks on disk: written atomically before a change is answered, and never lost."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from tests.disks import mounted, needs_mounts
from turbostream.stream import looks_json, state_folder
from turbostream.stream.collection import Collection, NotServing
from turbostream.stream.looks import Look, Looks
from turbostream.stream.looks_file import NotKept, file_for
from turbostream.stream.looks_json import Content
from turbostream.stream.scene import Scene
from turbostream.stream.setlist import Entry, Setlist


def look(name: str, prompt: str = "a red heart") -> Look:
    return Look.of(name, Scene.single(prompt, seed=3), 0.0, b"thumbnail")


def opened(file: Path | None) -> Collection:
    collection = Collection(file)
    collection.load()
    collection.start(lambda: True)
    return collection


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = file_for(tmp_path / "state", 8000)
    assert found is not None
    return found


def test_each_change_is_on_disk_when_it_returns(file: Path) -> None:
    collection = opened(file)
    for name in "abc":
        collection.save(look(name))
        assert name in json.loads(file.read_text())["looks"][-1]["name"]
    collection.put_setlist(Setlist((Entry("a", 1.0), Entry("b", 1.0))))
    collection.rename("a", "z")
    collection.delete("c")
    collection.order(["b", "z"])
    found = json.loads(file.read_text())
    assert [entry["name"] for entry in found["looks"]] == ["b", "z"]
    assert [entry["look"] for entry in found["setlist"]["entries"]] == ["z", "b"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in file.parent.iterdir()] == [file.name]


def test_the_next_process_finds_everything(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks_json.thumbnail, "checked", lambda data: data)
    first = opened(file)
    first.save(look("a"))
    first.put_setlist(Setlist((Entry("a", 1.5, 2.5),), loop=True))
    second = opened(file)
    assert (second.looks, second.setlist) == (first.looks, first.setlist)


def test_a_failed_write_changes_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collection = opened(file)
    collection.save(look("a"))
    collection.put_setlist(Setlist((Entry("a", 1.0),)))
    before, content = file.read_bytes(), (collection.looks, collection.setlist)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(state_folder, "write", full)
    for change in (
        lambda: collection.save(look("b")),
        lambda: collection.rename("a", "b"),
        lambda: collection.put_setlist(Setlist()),
        lambda: collection.add(Content(Looks().put(look("b")))),
    ):
        with pytest.raises(NotKept, match=r"^STATE_DIR .*No space left on device.*\.$"):
            change()
    assert (collection.looks, collection.setlist) == content
    assert file.read_bytes() == before


@needs_mounts
def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk") as disk:
        file = file_for(disk.folder, 8000)
        assert file is not None
        collection = opened(file)
        collection.save(look("a"))
        before = file.read_bytes()
        disk.fill()
        with pytest.raises(NotKept):
            collection.save(look("b", "x" * 900))
        assert collection.looks.names == ("a",)
        assert file.read_bytes() == before
        assert {found.name for found in disk.folder.iterdir()} == {file.name, "filler"}
        disk.make_room()
        collection.save(look("b"))
        assert collection.looks.names == ("a", "b")


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "\x00" * 99, "[" * 60_000, '{"version": 3, "looks": []}',
     '{"version": 1, "looks": [{"name": "a", "scene": {"prompt": "x", "version": 99}}]}',
     '{"version": 1, "looks": [{"name": "a", "scene": {"prompt": "x", "speed": NaN}}]}'],
)  # fmt: skip
def test_an_unusable_file_is_reported_in_one_line_and_kept_under_another_name(
    file: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    file.parent.mkdir()
    file.write_text(content)
    file.chmod(0o600)
    for _ in range(2):
        collection = opened(file)
        assert len(collection.looks) == 0
    (record,) = caplog.records
    assert str(file) in record.getMessage()
    assert len(record.getMessage().splitlines()) == 1
    collection.save(look("a"))
    aside = [found for found in file.parent.iterdir() if found != file]
    assert [found.read_text() for found in aside] == [content]
    assert aside[0].name in record.getMessage()


def test_two_damaged_files_in_one_second_are_both_kept(file: Path) -> None:
    file.parent.mkdir()
    for content in "{[":
        file.write_text(content)
        file.chmod(0o600)
        opened(file)
    assert {found.read_text() for found in file.parent.iterdir()} == {"{", "["}


def test_a_process_that_has_handed_over_or_not_begun_to_serve_writes_nothing(file: Path) -> None:
    collection = Collection(file)
    with pytest.raises(NotServing):
        collection.save(look("a"))
    serves = True
    collection.start(lambda: serves)
    collection.save(look("a"))
    before = file.read_bytes()
    serves = False
    with pytest.raises(NotServing):
        collection.save(look("b"))
    assert file.read_bytes() == before


def test_without_a_file_it_is_in_memory() -> None:
    assert file_for(Path("/nowhere"), 0) is None
    collection = Collection(None)
    collection.save(look("a"))
    assert collection.looks.names == ("a",)
