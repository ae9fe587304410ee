"""Replays that are interrupted, run into a full disk, or are asked for something impossible."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.batch.program import Program
from tests.batch.replaying import Recording, lines, painted, replay, show, times
from tests.disks import mounted, needs_mounts
from tests.sinks.sessions import HEADER
from tests.sinks.show import FIRST
from turbostream.sinks.session import SessionWriter, digest
from turbostream.stream.frame import Frame
from turbostream.stream.shot import InputPicture, Shot

# -- interruptions ---------------------------------------------------------------------------------


class Killed(BaseException):
    pass


def dying(after: int) -> Recording:
    count = 0

    def before(shot: Shot) -> None:
        nonlocal count
        count += 1
        if count > after:
            raise Killed

    return Recording(before)


@pytest.mark.parametrize("out", ["again", "show.mp4"])
def test_an_interrupted_replay_continues(program: Program, out: str) -> None:
    _, frames = show(program.folder, frames=30)
    program.next_engine = dying(17)
    with pytest.raises(Killed):
        program("--replay", "show.jsonl.gz", "--out", out)
    assert not (program.folder / "show.mp4").exists()
    folder = program.folder / ("again" if out == "again" else "show.mp4.frames")
    before = len(lines(folder))
    assert 12 <= before <= 17
    with (folder / "replay.jsonl").open("a") as manifest:
        manifest.write('{"number": 18, "fr')
    (folder / f"{before:06d}.jpg").write_bytes(b"torn")
    program.next_engine = None
    assert program("--replay", "show.jsonl.gz", "--out", out) == 0
    assert f"{before - 1} of 30 pictures are here already" in program.said
    assert len(painted(program)) == 30 - (before - 1)
    assert "30 of 30 pictures are identical" in program.said
    if out == "again":
        assert [line["sha256"] for line in lines(folder)] == [digest(f.jpeg) for f in frames]
        assert replay(program) == 0
        assert program.engines == [], "nothing is left to do"
    else:
        assert len(times(program.folder / out)) == 30


def test_a_failed_video_costs_no_picture(program: Program, monkeypatch) -> None:
    show(program.folder, frames=10)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "show.mp4.tmp")

    with monkeypatch.context() as patch:
        patch.setattr("turbostream.batch.replay.movie.write", full)
        assert program("--replay", "show.jsonl.gz", "--out", "show.mp4") == 2
    assert "is full" in program.said
    assert program("--replay", "show.jsonl.gz", "--out", "show.mp4") == 0
    assert program.engines == []
    assert len(times(program.folder / "show.mp4")) == 10


@needs_mounts
@pytest.mark.parametrize("out", ["again", "show.mp4"])
def test_a_full_disk_is_one_sentence_and_the_replay_continues(
    program: Program, tmp_path: Path, out: str
) -> None:
    show(program.folder, frames=40)
    with mounted(tmp_path / "disk", "size=512k") as disk:
        disk.fill(free_pages=12)
        target = str(disk.folder / out)
        assert program("--replay", "show.jsonl.gz", "--out", target) == 2
        assert "is full: free some space and run the same command again" in program.said
        (disk.folder / "filler").unlink()
        assert program("--replay", "show.jsonl.gz", "--out", target) == 0
        assert "40 of 40 pictures are identical" in program.said


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--size", "big"), "--size must be WIDTHxHEIGHT"),
        (("--size", "513x512"), "--size must be WIDTHxHEIGHT"),
        (("--fps", "0"), "--fps must be a number"),
        (("--fps", "nan"), "--fps must be a number"),
        (("--from", "1:2:3:4"), "--from must be seconds or mm:ss"),
        (("--from", "-1"), "--from must be seconds or mm:ss"),
        (("--to", "1e9"), "--to must be seconds or mm:ss"),
        (("--from", "2", "--to", "1"), "--to must be after --from"),
        (("--from", "1000"), "There is no frame from --from to --to"),
        (("--fps", "60", "--from", "1000"), "There is no frame from --from to --to"),
        (("--batch", "0"), "--batch must be `full` or 1 to 64"),
        (("--repaint",), "--repaint needs --size"),
        (("--model", "no/such/model"), "neither a folder nor a hub id"),
        (("--quality", "0"), "JPEG_QUALITY must be"),
        (("--decoder", "huge"), "DECODER must be"),
        (("--replay", "none.jsonl"), "There is no session none.jsonl"),
        (("--replay", "."), ". is not a file"),
        (("--out", "there.mp4"), "there.mp4 exists"),
        (("--out", "none/show.mp4"), "There is no folder none"),
        (("--out", "there.txt"), "there.txt is a file; give a folder"),
        (("--out", "others"), "others contains pictures that are not of this replay"),
        (("--out", "another"), "another holds another replay"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_painted(
    program: Program, arguments: tuple[str, ...], sentence: str
) -> None:
    show(program.folder, frames=30)
    for name in ("there.mp4", "there.txt"):
        (program.folder / name).write_text("mine")
    for name in ("others/000001.jpg", "another/replay.jsonl"):
        (program.folder / name).parent.mkdir()
        (program.folder / name).write_text("mine")
    assert replay(program, *arguments) == 2
    assert sentence in program.said
    assert program.said.count("\n") == 1
    assert program.engines == []
    assert (program.folder / "there.mp4").read_text() == "mine"


@pytest.mark.parametrize("option", ["--size", "--fps", "--from", "--to", "--batch", "--out"])
def test_an_option_of_replays_alone_is_refused(program: Program, option: str) -> None:
    program.write("a\n")
    assert program(option, "1") == 2
    assert f"{option} belongs to a replay" in program.said


def test_no_out_is_refused(program: Program) -> None:
    show(program.folder, frames=2)
    assert program("--replay", "show.jsonl.gz") == 2
    assert "Give --out" in program.said


def test_a_truncated_session_is_painted_up_to_there_with_a_warning(program: Program) -> None:
    path, _ = show(program.folder)
    path.write_bytes(path.read_bytes()[:-200])
    assert replay(program) == 0
    assert "ends within line" in program.said
    count = len(lines(program.folder / "again"))
    assert 1 <= count < 60
    assert f"{count} of {count} pictures are identical" in program.said


def test_a_forged_shot_is_refused_with_its_line(program: Program) -> None:
    writer = SessionWriter(program.folder / "show.jsonl", HEADER)
    writer.flush()
    shot = {"version": 2, "prompts": [["a", 0.5]], "noise": [[1, 1.0]]}
    with writer.path.open("a") as file:
        line = {"frame": 1, "at": 0.0, "shot": shot, "sha256": "0" * 16}
        file.write(json.dumps(line) + "\n")
    assert replay(program, session="show.jsonl") == 2
    assert "show.jsonl, line 2: The weights of a shot's prompts must add up to 1." in program.said


def with_shot(folder: Path, shot: Shot) -> None:
    writer = SessionWriter(folder / "show.jsonl", HEADER)
    writer.scene(FIRST, 0.0)
    writer.frame(Frame(1, b"jpeg", shot, 0.0, {}, "colour", taken=0.0))
    writer.flush()


def test_a_session_with_input_pictures_is_refused(program: Program) -> None:
    shot = replace(Shot.single("a", 1), source=InputPicture("0" * 64), strength=0.5)
    with_shot(program.folder, shot)
    assert replay(program, session="show.jsonl") == 2
    assert "Frame 1 of the session starts from an input picture, which is not" in program.said
    assert program.engines == []


def test_a_shot_that_the_engine_refuses_ends_the_replay(program: Program) -> None:
    def refuse(shot: Shot) -> None:
        raise ValueError("no")

    show(program.folder, frames=5)
    program.next_engine = Recording(refuse)
    assert replay(program) == 2
    assert "Frame 1 cannot be painted (ValueError: no)." in program.said


def test_a_session_without_frames_is_refused(program: Program) -> None:
    writer = SessionWriter(program.folder / "show.jsonl", HEADER)
    writer.flush()
    assert replay(program, session="show.jsonl") == 2
    assert "holds no frame" in program.said


def test_a_second_replay_into_the_same_folder_is_refused(program: Program) -> None:

    show(program.folder, frames=5)
    (program.folder / "again").mkdir()
    held = os.open(program.folder / "again", os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert replay(program) == 2
    finally:
        os.close(held)
    assert "Another run is painting into again" in program.said
