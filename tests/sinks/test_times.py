"""A recording of the demo model, painted on the CPU: each picture is at the time of its frame."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from tests.sinks.pictures import decoded, times
from tests.stream.running import collect, running, wait_until
from turbostream.engine import open_engine, weights
from turbostream.settings import Settings
from turbostream.sinks.recorder import Recorder
from turbostream.sinks.session_reader import read_session

RECORDED_S = 20.0
LARGEST_ERROR_S = 0.002
LARGEST_MEAN_ERROR = 4.0  # of 255, between a JPEG and its frame in the video


def test_twenty_seconds_have_the_times_and_the_pictures_of_their_frames(tmp_path: Path) -> None:
    settings = Settings(
        target_fps=30, initial_prompt="a red star", model_id="demo", server_port=0,
        state_dir=tmp_path,
    )  # fmt: skip
    found = weights.find("demo", "cpu")
    with running(partial(open_engine, settings, found), fps=30) as stream:
        recorder = Recorder(stream.channel, settings, "demo")
        frames = collect(stream.channel)
        recorder.start()
        wait_until(lambda: recorder.status()["seconds"] >= RECORDED_S / 2, timeout_s=200.0)
        stream.channel.change({"prompt": "a blue house", "fade_s": 2})
        wait_until(lambda: recorder.status()["seconds"] >= RECORDED_S, timeout_s=200.0)
        status = recorder.stop()
    name = status["name"]
    recipes = list(read_session(recorder.path(f"{name}.jsonl.gz")).frames())
    numbers = {recipe.number for recipe in recipes}
    recorded = [frame for frame in frames if frame.number in numbers]
    shown = times(recorder.path(f"{name}.mp4"))
    assert len(recorded) == len(recipes) == status["frames"] + status["dropped"]
    assert len(shown) == status["frames"] >= 0.9 * len(recorded)
    assert shown[-1] >= RECORDED_S - 1
    own = np.subtract([frame.taken for frame in recorded], recorded[0].taken)
    # A frame that was left out has no timestamp: each timestamp is that of the nearest frame.
    nearest = [int(np.abs(own - at).argmin()) for at in shown]
    assert nearest == sorted(set(nearest))
    assert np.abs(own[nearest] - shown).max() < LARGEST_ERROR_S
    assert np.abs(own - [recipe.at - recipes[0].at for recipe in recipes]).max() < LARGEST_ERROR_S
    pictures = decoded(recorder.path(f"{name}.mp4"), (256, 256))
    for index in range(0, len(shown), 10):
        with Image.open(io.BytesIO(recorded[nearest[index]].jpeg)) as image:
            wanted = np.asarray(image.convert("RGB"), dtype=float)
        assert np.abs(pictures[index] - wanted).mean() < LARGEST_MEAN_ERROR
