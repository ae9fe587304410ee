"""The demo model's own show, painted again by the program: every JPEG, and another size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import process_batch
import realtime_stream
from tests.batch.painting import FEEDBACK, Show
from tests.sinks.show import FPS, recorded
from turbostream.engine import jpeg, open_engine, weights
from turbostream.settings import load
from turbostream.sinks.session import Header
from turbostream.stream.channel import Channel
from turbostream.stream.engine_api import Engine, Resolve
from turbostream.stream.frame import Frame
from turbostream.stream.shot import EarlierFrame

Replay = Callable[..., tuple[list[bytes], str]]


@pytest.fixture(autouse=True)
def one_thread() -> object:
    """Two threads on a busy machine wait for each other, ten times longer than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def replay(tmp_path: Path, capfd, monkeypatch: pytest.MonkeyPatch) -> Replay:
    """The pictures of a replay of tmp_path/show.jsonl.gz, and what the program said."""
    monkeypatch.setenv("DEVICE", "cpu")
    monkeypatch.setattr("process_batch.heed_signals", lambda: None)

    def run(*arguments: str) -> tuple[list[bytes], str]:
        out = tmp_path / f"again{len(list(tmp_path.iterdir()))}"
        session = str(tmp_path / "show.jsonl.gz")
        assert process_batch.main(["--replay", session, "--out", str(out), *arguments]) == 0
        said = capfd.readouterr().err
        return [path.read_bytes() for path in sorted(out.glob("*.jpg"))], said

    return run


def opened(resolve: Resolve | None = None) -> Engine:
    names = ("TARGET_FPS", "INITIAL_PROMPT", "MODEL_ID", "SERVER_PORT")
    defaults = {name: getattr(realtime_stream, name) for name in names}
    settings, _ = load(defaults, ["--model-id=demo", "--device=cpu"], {})
    return open_engine(settings, weights.find("demo", "cpu"), lambda status: None, resolve)


def show(folder: Path, frames: int, **options) -> list[Frame]:
    engine = opened()
    try:
        header = Header(0.0, "demo", engine.model.own_size, 85, "tiny", FPS)  # type: ignore
        _, shown = recorded(folder / "show.jsonl", engine, frames, header, **options)
    finally:
        engine.close()
    return shown


def test_a_show_with_fades_looks_and_modulators_is_painted_again_byte_for_byte(
    tmp_path: Path, replay: Replay
) -> None:
    frames = show(tmp_path, 110)
    pictures, said = replay()
    assert pictures == [frame.jpeg for frame in frames]
    assert len(set(pictures)) > 100
    assert "110 of 110 pictures are identical to those of the show." in said


def test_a_feedback_is_painted_again_byte_for_byte(tmp_path: Path, replay: Replay) -> None:
    """Three seconds, recorded from within the chain."""
    live = Show(tmp_path)
    live.engine = opened(live.resolve)
    try:
        live.channel.change({**FEEDBACK, "strength": 0.5, "prompt": "three yellow stars"})
        live.run(6)
        live.record()
        live.run(90)
        session = live.end()
    finally:
        live.engine.close()
    session.rename(tmp_path / "show.jsonl.gz")
    pictures, said = replay()
    assert pictures == [frame.jpeg for frame in live.frames]
    assert len(set(pictures)) == 90
    assert all(isinstance(frame.shot.source, EarlierFrame) for frame in live.frames)
    assert "90 of 90 pictures are identical to those of the show." in said


def red_centre(picture: bytes) -> NDArray[np.float64]:
    """The centroid of the red pixels, (x, y), each as a fraction of the side."""
    pixels = jpeg.decode(picture).astype(int)
    rows, columns = np.nonzero((pixels[..., 0] > 140) & (pixels[..., 1:].max(-1) < 100))
    assert len(rows) > pixels[..., 0].size // 200, "there is a red object"
    return np.array([columns.mean() / pixels.shape[1], rows.mean() / pixels.shape[0]])


def red_things(channel: Channel):
    """Changes of what is shown, and of where."""
    yield lambda: channel.change({"prompt": "a red star", "seed": 21})
    yield lambda: channel.change({"prompt": "a red circle", "speed": 3.0})


def test_at_twice_the_size_and_rate_a_thing_is_at_the_same_place_at_the_same_time(
    tmp_path: Path, replay: Replay
) -> None:
    frames = show(tmp_path, 9, changes=red_things, change_every=3)
    pictures, said = replay("--size", "512x512", "--fps", "60")
    assert len(pictures) == 17
    assert {jpeg.decode(picture).shape for picture in pictures} == {(512, 512, 3)}
    centres = [red_centre(frame.jpeg) for frame in frames]
    assert max(np.ptp([c[axis] for c in centres]) for axis in (0, 1)) > 0.1, "it moves"
    for picture, centre in zip(pictures[::2], centres, strict=True):
        assert abs(red_centre(picture) - centre).max() < 0.03
    assert "painted at 60 frames/s" in said
    assert "at 512x512, and the show at 256x256" in said
