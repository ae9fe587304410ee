"""Shows that start from pictures: input pictures that were kept, and chains of earlier frames."""

from __future__ import annotations

import gzip
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.batch.painting import FEEDBACK, FPS, Painter, Show, replay
from tests.batch.program import Program
from tests.batch.replaying import lines, painted
from tests.stream.running import wait_until
from turbostream.sinks import recorder
from turbostream.sinks.session_lines import PictureAt, Shown
from turbostream.sinks.session_reader import read_session
from turbostream.sinks.take import Take
from turbostream.sources.store import Store
from turbostream.stream.frame import Frame
from turbostream.stream.shot import EarlierFrame, InputPicture


def feedback(folder: Path, frames: int = 90, before: int = 10) -> tuple[Path, list[Frame]]:
    """A recording that begins within a feedback and has `frames` frames, all of one chain."""
    show = Show(folder)
    show.run(3)
    show.channel.change(FEEDBACK)
    show.run(before)
    show.record()
    show.run(frames)
    return show.end(), show.frames


# -- feedback --------------------------------------------------------------------------------------


def test_a_feedback_of_three_seconds_is_painted_again_byte_for_byte(program: Program) -> None:
    session, frames = feedback(program.folder)
    assert all(isinstance(frame.shot.source, EarlierFrame) for frame in frames)
    assert replay(program, session) == [frame.jpeg for frame in frames]
    assert len({frame.jpeg for frame in frames}) == 90
    assert "90 of 90 pictures are identical to those of the show." in program.said


def test_what_was_shown_before_the_recording_is_in_the_session_once(program: Program) -> None:
    session, frames = feedback(program.folder)
    shown = [one for one in read_session(session).events() if isinstance(one, Shown)]
    assert [one.number for one in shown] == [frames[0].number - 2, frames[0].number - 1]
    assert not [one for one in read_session(session).events() if isinstance(one, PictureAt)]


def test_a_chain_without_its_transform_is_another(program: Program, monkeypatch) -> None:
    """The test above would notice."""
    from turbostream.sources import earlier

    session, frames = feedback(program.folder)
    plain = earlier.transformed
    monkeypatch.setattr(
        earlier, "transformed", lambda jpeg, source, *size: plain(jpeg, EarlierFrame(1), *size)
    )
    pictures = replay(program, session)
    assert len(set(pictures) & {frame.jpeg for frame in frames}) == 0


def test_a_range_within_a_chain_is_painted_from_the_beginning_of_the_chain(
    program: Program,
) -> None:
    session, frames = feedback(program.folder)
    pictures = replay(program, session, "--from", "1", "--to", "2")
    assert pictures == [frame.jpeg for frame in frames[30:61]]
    assert "30 frames before the range are painted first." in program.said
    assert [line["frame"] for line in lines(program.folder / "again")] == [
        frame.number for frame in frames[30:61]
    ]


def test_a_chain_that_began_within_the_recording_is_painted_from_there(program: Program) -> None:
    show = Show(program.folder)
    show.record()
    show.run(30)
    show.channel.change(FEEDBACK)
    show.run(30)
    session = show.end()
    pictures = replay(program, session, "--from", "1.5")
    assert pictures == [frame.jpeg for frame in show.frames[45:]]
    # The first two frames of the feedback were submitted before the change was published.
    assert "17 frames before the range are painted first." in program.said


class Killed(BaseException):
    pass


@pytest.mark.parametrize("kept", [3, 75])
@pytest.mark.parametrize("begin", [0, 10])
def test_an_interrupted_chain_continues(program: Program, kept: int, begin: int) -> None:
    session, frames = feedback(program.folder)
    count = 0

    def dies(_: object) -> None:
        nonlocal count
        count += 1
        if count > kept + begin:
            raise Killed

    program.next_engine = Painter(dies)
    arguments = ("--from", f"{begin / FPS:.6f}")
    with pytest.raises(Killed):
        program("--replay", str(session), "--out", "again", *arguments)
    assert 0 < len(lines(program.folder / "again")) <= kept
    program.next_engine = None
    assert replay(program, session, *arguments) == [frame.jpeg for frame in frames[begin:]]
    assert len(painted(program)) < 90 - begin - (0 if kept == 3 else 60) + begin


def test_a_frame_that_the_recorder_lost_does_not_break_the_chain(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on, add = threading.Event(), Take.frame

    def waits(take: Take, *arguments) -> None:
        assert goes_on.wait(30.0)
        add(take, *arguments)

    show = Show(program.folder)
    show.channel.change(FEEDBACK)
    show.run(5)
    monkeypatch.setattr(Take, "frame", waits)
    monkeypatch.setattr(recorder, "MOST_WAITING", 6)
    show.record()
    show.run(20)  # of which most are lost
    goes_on.set()
    wait_until(show.recorder._queue.empty)
    show.run(4)
    session = show.end()
    events = list(read_session(session).events())
    numbers = [frame.number for frame in read_session(session).frames()]
    assert len(numbers) < 20
    assert sum(isinstance(one, Shown) for one in events) >= 3, "before the recording, and lost"
    wanted = {frame.number: frame.jpeg for frame in show.frames}
    assert replay(program, session) == [wanted[number] for number in numbers]


def test_a_chain_whose_beginning_is_missing_is_refused_with_its_frame(program: Program) -> None:
    session, frames = feedback(program.folder, frames=20)
    kept = program.folder / "cut.jsonl"
    text = gzip.decompress(session.read_bytes()).splitlines(keepends=True)
    kept.write_bytes(b"".join(line for line in text if not line.startswith(b'{"shown"')))
    assert program("--replay", str(kept), "--out", "again") == 2
    first = frames[0].number
    assert f"Frame {first} of the session starts from frame {first - 2}" in program.said
    assert program.engines == []


def test_batches_are_as_large_as_the_chain_allows(program: Program) -> None:
    session, frames = feedback(program.folder, frames=20)
    program.next_engine = engine = Painter()
    pictures = replay(program, session, "--batch", "full")
    assert engine.sizes == [2] * 10, "each frame starts from the one two before it"
    assert pictures == [frame.jpeg for frame in frames]


# -- input pictures --------------------------------------------------------------------------------


def camera(folder: Path, keep: bool = True, frames: int = 40) -> tuple[Path, Show]:
    """A new input picture with every fifth frame, after a second without one; one comes back."""
    show = Show(folder, keep=keep)
    show.record()
    show.run(30)
    show.give(0)
    show.channel.change({"source": "picture", "strength": 0.4})
    show.run(frames, lambda turn: show.give(turn // 5 % 6) if turn % 5 == 0 else None)
    return show.end(), show


def test_input_pictures_are_kept_once_each_and_replayed(program: Program) -> None:
    session, show = camera(program.folder)
    events = list(read_session(session).events())
    kept = [one for one in events if isinstance(one, PictureAt)]
    named = {
        frame.shot.source.sha256
        for frame in show.frames
        if isinstance(frame.shot.source, InputPicture)
    }
    assert {one.sha256 for one in kept} == named
    assert len(kept) == len(named) == 6
    assert replay(program, session) == [frame.jpeg for frame in show.frames]
    program.next_engine = engine = Painter()
    assert replay(program, session, "--batch", "full", out="full") == [
        frame.jpeg for frame in show.frames
    ]
    assert max(engine.sizes) == 4, "frames from input pictures fill a batch"


def test_without_the_setting_no_picture_is_kept_and_the_replay_is_refused(
    program: Program,
) -> None:
    session, show = camera(program.folder, keep=False)
    assert sorted(path.suffix for path in show.folder.iterdir()) == [".gz", ".mp4"]
    assert program("--replay", str(session), "--out", "again") == 2
    assert "starts from an input picture, which is not stored with it" in program.said
    assert program.said.count("\n") == 1
    assert replay(program, session, "--to", "0.9", out="first") == [
        frame.jpeg for frame in show.frames[:28]
    ], "a range without such frames can be replayed"


def test_a_picture_of_another_recording_is_refused(program: Program) -> None:
    session, show = camera(program.folder)
    (sources,) = show.folder.glob("*.sources")
    other = Show(program.folder / "other")
    other.record()
    other.give(77)
    other.channel.change({"source": "picture"})
    other.run(3)
    other.end()
    (another,) = other.folder.glob("*.sources")
    content = another.read_bytes()
    sources.write_bytes(content + sources.read_bytes()[len(content) :])
    program.next_engine = Painter()
    assert program("--replay", str(session), "--out", "again") == 2
    assert "or damaged; use its own copy" in program.said or "has no picture" in program.said
    sources.unlink()
    program.next_engine = Painter()
    assert program("--replay", str(session), "--out", "again") == 2
    assert "cannot be read (No such file or directory)" in program.said


def test_the_pictures_count_as_bytes_and_go_with_the_recording(program: Program) -> None:
    _, show = camera(program.folder)
    (sources,) = show.folder.glob("*.sources")
    assert sources.stat().st_size > 6 * 9000, "noise cannot be compressed"
    assert sources.stat().st_mode & 0o077 == 0
    total = show.recorder._recordings.total_bytes()
    assert total == sum(path.stat().st_size for path in show.folder.iterdir())
    assert show.recorder.path(sources.name) == sources
    show.recorder.delete(sources.stem)
    assert list(show.folder.iterdir()) == []


def test_a_picture_that_was_gone_too_soon_is_told(program: Program, monkeypatch) -> None:
    monkeypatch.setattr(Store, "find", lambda store, sha256: None)
    show = Show(program.folder)
    monkeypatch.setattr(
        show.engine, "resolve", lambda _, width, height: np.zeros((height, width, 3), np.uint8)
    )
    show.record()
    show.give(1)
    show.channel.change({"source": "picture"})
    show.run(3)
    session = show.end()
    assert "3 frames started from input pictures" in show.recorder.status()["message"]
    assert program("--replay", str(session), "--out", "again") == 2


# -- another rate or size --------------------------------------------------------------------------


def test_at_another_rate_each_picture_starts_from_one_as_old_as_in_the_show(
    program: Program,
) -> None:
    session, frames = feedback(program.folder, frames=30)
    pictures = replay(program, session, "--fps", str(2 * FPS))
    shots = painted(program)
    assert len(pictures) == 59
    assert len(shots) == 60, "the last batch is filled up"
    assert [shot.source for shot in shots[:4]] == [None] * 4
    of_the_show = frames[10].shot.source
    assert isinstance(of_the_show, EarlierFrame)
    for turn, shot in enumerate(shots[4:59], 4):
        source = shot.source
        assert isinstance(source, EarlierFrame)
        assert source.number == turn + 1 - 4, "four pictures are as long as two frames"
        wanted = replace(of_the_show, number=source.number)
        for name in ("zoom", "rotation", "shift_x", "shift_y"):
            assert getattr(source, name) == pytest.approx(getattr(wanted, name), rel=1e-4)
    assert "as old as in the show" in program.said


def test_another_size_resolves_the_sources_at_that_size(program: Program) -> None:
    session, frames = feedback(program.folder, frames=12)
    pictures = replay(program, session, "--size", "128x128")
    assert len(set(pictures)) == 12
    assert {(shot.width, shot.height) for shot in painted(program)} == {(128, 128)}
    camera_session, _ = camera(program.folder / "camera")
    assert len(replay(program, camera_session, "--size", "128x128", out="larger")) == 70
