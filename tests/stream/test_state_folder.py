"""Files in STATE_DIR that somebody else may have put there."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.disks import mounted, needs_mounts
from turbostream.stream import state_folder
from turbostream.stream.state_folder import UntrustedFile, overwrite, own_folder, read_json, write

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="giving a file away needs root")


def _link(file: Path) -> None:
    target = file.with_name("target")
    target.write_text("{}")
    target.chmod(0o644)
    file.symlink_to(target)


def _text(text: str, mode: int = 0o600) -> Callable[[Path], object]:
    def put(file: Path) -> None:
        file.write_text(text)
        file.chmod(mode)

    return put


PLANTED: dict[str, tuple[Callable[[Path], object], str]] = {
    "link": (_link, "symbolic link"),
    "dangling link": (lambda file: file.symlink_to("nowhere"), "symbolic link"),
    "fifo": (os.mkfifo, "not a regular file"),
    "folder": (Path.mkdir, "not a regular file"),
    "written by all": (_text("{}", 0o666), "other users"),
    "written by the group": (_text("{}", 0o620), "other users"),
    "large": (_text(" " * state_folder.MOST_BYTES + "{}"), "larger"),
    "deep": (_text("[" * 60_000), "JSON"),
    "400 digits": (_text('{"ends_at": 1' + "0" * 400 + "}"), "JSON"),
    "5,000 digits": (_text('{"ends_at": ' + "9" * 5000 + "}"), "JSON"),
    "NaN": (_text('{"ends_at": NaN}'), "JSON"),
    "infinity": (_text('{"ends_at": -Infinity}'), "JSON"),
    "infinity by size": (_text('{"ends_at": 1e999}'), "JSON"),
    "not UTF-8": (lambda file: file.write_bytes(b'{"a": "\xff"}'), "JSON"),
    "cut off": (_text('{"ends_at": 1'), "JSON"),
}


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.timeout(20)
def test_a_file_that_is_not_ours_is_not_believed(tmp_path: Path, kind: str) -> None:
    plant, reason = PLANTED[kind]
    file = tmp_path / "x.json"
    plant(file)
    with pytest.raises(UntrustedFile, match=reason):
        read_json(file)


@AS_ROOT
@pytest.mark.parametrize("device", [(1, 3), (1, 5)], ids=["null", "zero"])
def test_a_device_is_not_read(tmp_path: Path, device: tuple[int, int]) -> None:
    file = tmp_path / "x.json"
    os.mknod(file, 0o600 | stat.S_IFCHR, os.makedev(*device))
    with pytest.raises(UntrustedFile, match="not a regular file"):
        read_json(file)


@AS_ROOT
def test_a_file_of_another_user_is_not_believed(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    write(file, "{}")
    os.chown(file, 65534, 65534)
    with pytest.raises(UntrustedFile, match="another user"):
        read_json(file)


def test_what_is_written_is_read_and_belongs_to_nobody_else(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    for value in ({"a": [1, 2.5, "é"]}, {"b": 2**63}):
        write(file, json.dumps(value))
        assert read_json(file) == value
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_writing_replaces_a_link_and_leaves_its_target_alone(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    _link(file)
    write(file, "[]")
    assert not file.is_symlink()
    assert (tmp_path / "target").read_text() == "{}"


def test_a_write_that_fails_leaves_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path / "x.json", "{}")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_for_code_is_made_for_this_user_only(tmp_path: Path) -> None:
    folder = own_folder(tmp_path / "compiled")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o777)
    with pytest.raises(UntrustedFile, match="other users"):
        own_folder(folder)
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(UntrustedFile, match="symbolic link"):
        own_folder(tmp_path / "link")


@AS_ROOT
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    own_folder(tmp_path / "compiled")
    os.chown(tmp_path / "compiled", 65534, 65534)
    with pytest.raises(UntrustedFile, match="another user"):
        own_folder(tmp_path / "compiled")


@needs_mounts
def test_other_words_fit_into_the_room_of_the_old_ones_on_a_full_disk(tmp_path: Path) -> None:
    file = tmp_path / "told"
    with mounted(tmp_path) as disk:
        write(file, "the old words, which are longer\n")
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            write(file, "the new words\n")
        overwrite(file, "the new words\n")
        assert file.read_text().split() == ["the", "new", "words"]
        with pytest.raises(OSError, match="No space left"):
            overwrite(file, "these words are longer than the ones before\n")
        assert file.read_text().split() == ["the", "new", "words"]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["filler", "told"]


@pytest.mark.parametrize(
    "kind", ["link", "dangling link", "fifo", "folder", "written by all", "written by the group"]
)
def test_a_file_that_is_not_ours_is_not_written_over(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "told"
    PLANTED[kind][0](file)
    with pytest.raises((UntrustedFile, IsADirectoryError)):
        overwrite(file, "x")
    assert not (tmp_path / "nowhere").exists()
    if file.is_file():
        assert file.read_text() == "{}"


def test_what_a_killed_process_left_is_removed_once_it_is_old(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    names = {".x.json." + "a" * 16: 120, ".x.json." + "b" * 16: 0, ".x.json.mine": 120,
             ".y.json." + "a" * 16: 120, "x.json": 120, "x.json.damaged-1": 120}  # fmt: skip
    for name, age_s in names.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age_s,) * 2)
    state_folder.remove_unfinished(file)
    assert set(names) - set(os.listdir(tmp_path)) == {".x.json." + "a" * 16}
    state_folder.remove_unfinished(tmp_path / "none" / "x.json")
