"""The folder of the recordings: only what this program named is listed, opened or deleted."""

from __future__ import annotations

import gzip
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.sinks.pictures import jpeg, probe
from turbostream.sinks.fragment_file import FragmentFile
from turbostream.sinks.fragments import measure
from turbostream.sinks.recordings import Recordings
from turbostream.sinks.video_file import FRAGMENT_S, VideoFile
from turbostream.stream.recording import NoSuchRecording, RecordingError

NAME = "2026-11-27-101500"


def video(path: Path, frames: int, fps: float = 30.0, finish: bool = True) -> None:
    file = FragmentFile(path)
    written = VideoFile(file, (64, 64))
    for number in range(frames):
        written.add(jpeg((number % 250, 90, 90)), number / fps)
    if finish:
        written.finish()
    file.close()


def test_a_missing_folder_has_no_recordings_and_is_made_for_the_first(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path / "one" / "two")
    assert recordings.entries() == []
    assert recordings.new_name()
    assert recordings.folder.is_dir()


def test_names_of_one_second_differ(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path)
    names = set()
    for _ in range(5):
        names.add(name := recordings.new_name())
        recordings.video(name).touch()
    assert len(names) == 5


def test_the_list_has_the_length_of_each_recording_the_newest_first(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path)
    video(recordings.video(NAME), 45)
    video(recordings.video("2026-11-27-101501"), 90)
    recordings.plain(NAME).touch()
    (tmp_path / "notes.mp4").write_bytes(b"not ours")
    (tmp_path / "2026-11-27-101502.mp4").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "2026-11-27-101503.mp4")
    newest, oldest = recordings.entries()
    assert (newest["name"], newest["frames"], newest["session"]) == ("2026-11-27-101501", 90, False)
    assert (oldest["name"], oldest["frames"], oldest["session"]) == (NAME, 45, True)
    assert oldest["bytes"] == recordings.video(NAME).stat().st_size
    assert oldest["seconds"] == pytest.approx(45 / 30, abs=0.04)


def test_the_length_is_that_of_the_whole_fragments_wherever_a_video_was_cut(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    video(whole, 90)
    content = whole.read_bytes()
    counts = []
    for size in range(0, len(content) + 1, len(content) // 40):
        cut.write_bytes(content[:size])
        found = measure(cut)
        counts.append(found.frames)
        assert found.seconds == pytest.approx(found.frames / 30, abs=0.04)
    assert counts == sorted(counts)
    assert len(set(counts)) >= 90 / 30 / FRAGMENT_S
    assert measure(whole).frames == len(probe(whole, "packet=pts_time")["packets"]) == 90


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100, b"\0\0\0\x10moof\0\0\0\x40trafxxxx", b"x" * 9]
)
def test_what_is_no_video_has_no_length(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bad.mp4"
    file.write_bytes(content)
    assert measure(file) == (0.0, 0)


def test_a_file_never_ends_within_a_fragment(tmp_path: Path) -> None:
    """Whatever moment the program is killed at, what is in the file can be played."""
    file = FragmentFile(tmp_path / "video.mp4")
    written = VideoFile(file, (64, 64))
    for number in range(100):
        if written.add(jpeg((number, 90, 90)), number / 30):
            found = measure(tmp_path / "video.mp4")
            assert number / 30 - found.seconds <= FRAGMENT_S
            if found.frames:
                assert len(probe(tmp_path / "video.mp4", "packet=pts_time")["packets"]) == (
                    found.frames
                )
    file.close()
    assert found.frames > 80


def test_a_session_that_was_left_plain_is_compressed_when_it_is_wanted(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path)
    recordings.plain(NAME).write_text("{}\n")
    assert recordings.path(f"{NAME}.jsonl.gz").read_bytes()[:2] == b"\x1f\x8b"
    assert not recordings.plain(NAME).exists()


def test_several_who_want_a_plain_session_get_the_whole_of_it(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path)
    content = random.Random(1).randbytes(8_000_000)
    recordings.plain(NAME).write_bytes(content)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: _read(recordings, f"{NAME}.jsonl.gz"), range(4)))
    assert all(gzip.decompress(data) == content for data in found)
    assert [file.name for file in tmp_path.iterdir()] == [f"{NAME}.jsonl.gz"]


def _read(recordings: Recordings, name: str) -> bytes:
    return recordings.path(name).read_bytes()


@pytest.mark.parametrize(
    "name",
    ["", ".mp4", "../secret.mp4", f"{NAME}.mp4/..", f"{NAME}", f"{NAME}.txt", f"x{NAME}.mp4",
     f"{NAME}.jsonl", "2026-11-27-101501.mp4", f"{NAME}\n.mp4", "link.mp4"],
)  # fmt: skip
def test_nothing_else_can_be_opened(tmp_path: Path, name: str) -> None:
    recordings = Recordings(tmp_path / "recordings")
    recordings.new_name()
    (tmp_path / "secret.mp4").touch()
    recordings.video(NAME).touch()
    recordings.video("2026-11-27-101501").symlink_to(tmp_path / "secret.mp4")
    with pytest.raises(NoSuchRecording, match="There is no recording"):
        recordings.path(name)
    assert recordings.path(f"{NAME}.mp4") == recordings.video(NAME)


def test_deletion_takes_all_files_of_a_recording_and_no_others(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path)
    for end in (".mp4", ".jsonl", ".jsonl.gz", ".jsonl.gz.tmp", ".txt"):
        (tmp_path / (NAME + end)).touch()
    (tmp_path / f"{NAME}-2.mp4").touch()
    recordings.delete(NAME)
    assert {file.name for file in tmp_path.iterdir()} == {f"{NAME}.txt", f"{NAME}-2.mp4"}
    for name in (NAME, "../x", "", f"{NAME}.mp4"):
        with pytest.raises(NoSuchRecording):
            recordings.delete(name)


def test_a_file_in_place_of_the_folder_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    for folder in (tmp_path / "file", tmp_path / "fifo", tmp_path / "file" / "below"):
        with pytest.raises(RecordingError, match="is not a folder: remove it, or give another"):
            Recordings(folder).new_name()
        with pytest.raises(RecordingError, match="cannot be listed"):
            Recordings(folder).entries()
