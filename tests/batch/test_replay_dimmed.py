"""Feedback goes on at full brightness while the stage is dimmed, live and in a replay."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.batch.painting import FEEDBACK, Painter, Show, replay
from tests.batch.program import Program
from tests.batch.replaying import lines, painted
from turbostream.engine.jpeg import decode
from turbostream.sinks.session_lines import Shown
from turbostream.sinks.session_reader import read_session
from turbostream.stream.frame import Frame


def blackout(folder: Path, undims: bool = True, before: int = 5) -> tuple[Path, list[Frame]]:
    """A feedback that is black for 20 of its 60 recorded frames, and dimmed for 20 more."""
    show = Show(folder)
    assert isinstance(show.engine, Painter)
    show.engine.undims = undims
    show.channel.change(FEEDBACK)
    show.run(before)
    show.record()
    levels = {10: 0.0, 30: 0.5, 50: 1.0}
    show.run(60, lambda turn: turn in levels and show.channel.change({"brightness": levels[turn]}))
    return show.end(), show.frames


def test_the_picture_goes_on_in_the_dark(tmp_path: Path) -> None:
    _, frames = blackout(tmp_path)
    dark = frames[15:30]
    assert all(decode(frame.jpeg).max() == 0 for frame in dark)
    assert all(decode(frame.undimmed).mean() > 90 for frame in dark), "40 if it began from black"


def test_it_is_painted_again_byte_for_byte(program: Program) -> None:
    session, frames = blackout(program.folder)
    assert replay(program, session) == [frame.jpeg for frame in frames]
    assert "60 of 60 pictures are identical to those of the show." in program.said


def test_a_recording_that_begins_in_the_dark_has_the_frames_before_it_at_full_brightness(
    program: Program,
) -> None:
    show = Show(program.folder)
    show.channel.change({**FEEDBACK, "brightness": 0.0})
    show.run(5)
    show.record()
    show.run(20, lambda turn: turn == 10 and show.channel.change({"brightness": 1.0}))
    session = show.end()
    shown = [one for one in read_session(session).events() if isinstance(one, Shown)]
    assert all(decode(one.jpeg).max() > 100 for one in shown)
    assert replay(program, session) == [frame.jpeg for frame in show.frames]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("kept", [15, 45, 58])
def test_an_interrupted_replay_does_not_go_on_from_dimmed_files(
    program: Program, kept: int
) -> None:
    session, frames = blackout(program.folder)
    left = kept

    def dies(_: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    program.next_engine = Painter(dies)
    with pytest.raises(Killed):
        program("--replay", str(session), "--out", "again")
    there = len(lines(program.folder / "again"))
    assert there
    program.next_engine = None
    assert replay(program, session) == [frame.jpeg for frame in frames]
    assert f"The first {there} pictures are painted again" in program.said
    assert len(lines(program.folder / "again")) == 60
    assert len(painted(program)) == 60


def test_a_session_of_the_older_format_is_painted_as_it_was_shown(program: Program) -> None:
    session, frames = blackout(program.folder, undims=False)
    first, _, rest = gzip.decompress(session.read_bytes()).partition(b"\n")
    older = json.dumps({**json.loads(first), "session": 1}).encode()
    session.write_bytes(gzip.compress(older + b"\n" + rest))
    assert replay(program, session) == [frame.jpeg for frame in frames]
    (program.folder / "newer").mkdir()
    _, newer = blackout(program.folder / "newer")
    assert decode(frames[32].jpeg).mean() < 0.6 * decode(newer[32].jpeg).mean(), "from black"
