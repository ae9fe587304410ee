"""A recorded session painted again: the same pictures, or the same show at another size or rate."""

from __future__ import annotations

import gzip
from dataclasses import replace

import pytest

from tests.batch.program import Program
from tests.batch.replaying import Recording, lines, painted, replay, show, times
from tests.sinks.sessions import HEADER
from tests.sinks.show import FPS, recorded
from turbostream.sinks.session import SessionWriter
from turbostream.sinks.session_reader import read_session

# -- the same pictures -----------------------------------------------------------------------------


def test_every_picture_is_that_of_the_show(program: Program) -> None:
    _, frames = show(program.folder)
    assert replay(program) == 0
    assert "60 of 60 pictures are identical to those of the show.\n" in program.said
    pictures = sorted((program.folder / "again").glob("*.jpg"))
    assert [path.name for path in pictures] == [f"{n:06d}.jpg" for n in range(1, 61)]
    assert [path.read_bytes() for path in pictures] == [frame.jpeg for frame in frames]


def test_the_settings_come_from_the_session_unless_given(program: Program, monkeypatch) -> None:
    monkeypatch.setenv("JPEG_QUALITY", "20")
    _, frames = show(program.folder, header=replace(HEADER, quality=70))
    assert replay(program) == 0
    assert " jpeg-70 " in program.engines[0].fingerprint
    assert program("--replay", "show.jsonl.gz", "--out", "low", "--quality", "30") == 0
    assert " jpeg-30 " in program.engines[0].fingerprint
    assert "0 of 60 pictures are identical" in program.said
    for fingerprint in (frames[0].fingerprint, program.engines[0].fingerprint):
        assert repr(fingerprint) in program.said, "both are named"


def test_pictures_of_the_same_fingerprint_that_differ_are_reported(program: Program) -> None:
    path = program.folder / "show.jsonl"
    show(program.folder)
    content = read_session(path.with_suffix(".jsonl.gz"))
    shas = [frame.sha256 for frame in content.frames()]

    text = gzip.decompress(path.with_suffix(".jsonl.gz").read_bytes()).decode()
    path.write_text(text.replace(shas[7], "0" * 16))
    assert replay(program, session="show.jsonl") == 0
    assert "59 of 60 pictures are identical" in program.said
    assert "1 look the same, but not byte for byte: the fingerprint is the same" in program.said


def test_the_batch_size_is_that_of_the_show(program: Program) -> None:
    show(program.folder, frames=10, kind="plain batch-4")
    program.next_engine = engine = Recording()
    assert replay(program) == 0
    assert engine.sizes == [4, 4, 4], "the last one is filled up"
    assert len(lines(program.folder / "again")) == 10


@pytest.mark.parametrize(
    ("arguments", "sizes"),
    [((), [1] * 10), (("--batch", "3"), [3, 3, 3, 3]), (("--batch", "full"), [4, 4, 4])],
)
def test_the_batch_size_can_be_chosen(
    program: Program, arguments: tuple[str, ...], sizes: list[int]
) -> None:
    show(program.folder, frames=10)
    program.next_engine = engine = Recording()
    assert replay(program, *arguments) == 0
    assert engine.sizes == sizes


def test_a_range_of_time_is_painted(program: Program) -> None:
    show(program.folder)
    assert replay(program, "--from", "0.5", "--to", "0:01") == 0
    found = lines(program.folder / "again")
    assert [line["frame"] for line in found] == list(range(16, 32))
    assert found[0]["at"] == 0
    assert "16 of 16 pictures are identical" in program.said


# -- another rate or size --------------------------------------------------------------------------


def test_twice_the_rate_has_every_shot_of_the_show_at_its_time(program: Program) -> None:
    """Through fades, looks, modulators, undo and `fresh`."""
    _, frames = show(program.folder, frames=110)
    assert replay(program, "--fps", str(2 * FPS)) == 0
    shots = painted(program)[:219]  # the last batch is filled up
    assert len(lines(program.folder / "again")) == 219
    for frame, shot in zip(frames, shots[::2], strict=True):
        for mix, of_the_show in (
            (shot.prompts, frame.shot.prompts),
            (shot.noise, frame.shot.noise),
        ):
            weights, expected = dict(mix), dict(of_the_show)
            for value in weights | expected:  # at the end of a fade one may have a weight of 1e-6
                weight = pytest.approx(expected.get(value, 0.0), abs=1e-4)
                assert weights.get(value, 0.0) == weight, (frame.number, value)
        assert shot.brightness == pytest.approx(frame.shot.brightness, abs=1e-4)
    assert len(set(shots[0:80:2]) & set(shots[1:80:2])) == 0, "new shots in between"
    assert "at 60 frames/s" in program.said


def test_fresh_noise_changes_at_the_times_of_the_show(program: Program) -> None:
    _, frames = show(program.folder, frames=100)
    assert replay(program, "--fps", str(2 * FPS), "--from", "3.01") == 0  # motion is `fresh`
    count = len(lines(program.folder / "again"))  # the last batch is filled up
    noises = [shot.noise for shot in painted(program)[:count]]
    assert noises == [frame.shot.noise for frame in frames[90:99] for _ in range(2)]


def test_another_size_keeps_the_recorded_composition(program: Program) -> None:
    show(program.folder, frames=8)
    assert replay(program, "--size", "512x384") == 0
    for shot in painted(program):
        assert (shot.width, shot.height, shot.enlarging) == (512, 384, "pixels")
        assert (shot.base_width, shot.base_height) == (256, 256)
    assert "painted at 512x384, and the show at 256x256" in program.said
    assert program("--replay", "show.jsonl.gz", "--out", "b", "--size", "512x384", "--repaint") == 0
    assert {shot.enlarging for shot in painted(program)} == {"noise"}
    assert program("--replay", "show.jsonl.gz", "--out", "c", "--size", "256x256") == 0
    assert "8 of 8 pictures are identical" in program.said, "it is the size of the show"


# -- the video -------------------------------------------------------------------------------------


def test_the_video_has_the_times_of_the_show(program: Program) -> None:
    path = program.folder / "show.jsonl"
    writer, engine = SessionWriter(path, HEADER), Recording()
    _, frames = recorded(program.folder / "other.jsonl", engine, 20, HEADER)
    (scene,) = list(read_session(program.folder / "other.jsonl.gz").scenes())[:1]
    writer.scene(scene.scene, 0.0)
    due = [0.01 * n * n + 0.004 for n in range(20)]
    for frame, at in zip(frames, due, strict=True):
        writer.frame(replace(frame, taken=at))
    writer.close()
    assert program("--replay", "show.jsonl.gz", "--out", "show.mp4") == 0
    found = times(program.folder / "show.mp4")
    assert [float(time) for time in found] == pytest.approx([at - due[0] for at in due], abs=2e-5)
    assert not (program.folder / "show.mp4.frames").exists()
    assert "20 of 20 pictures are identical" in program.said


def test_a_steady_rate_is_steady(program: Program) -> None:
    show(program.folder, frames=20)
    assert program("--replay", "show.jsonl.gz", "--out", "show.mp4", "--fps", "50") == 0
    found = times(program.folder / "show.mp4")
    assert [float(time) for time in found] == pytest.approx(
        [n / 50 for n in range(len(found))], abs=2e-5
    )
    assert len(found) == 32
