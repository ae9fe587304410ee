"""An even fade of the demo model's own pictures, through the supervisor."""

from __future__ import annotations

import io
import statistics
from dataclasses import replace

from PIL import Image

from tests.stream.running import PATIENCE_S, running, schedule, wait_until
from turbostream.engine import open_engine, weights
from turbostream.settings import Settings
from turbostream.stream.even_fade import distance
from turbostream.stream.scene import Scene
from turbostream.stream.supervisor import Supervisor

FRAMES = 40
FADE_S = 60.0  # so long that the probes arrive in its first tenths on any machine
SETTINGS = Settings(target_fps=30, initial_prompt="", model_id="demo", server_port=0)


def largest_over_median(supervisor: Supervisor, scene: Scene) -> float:
    """The largest change between neighbouring frames of the fade, divided by the median."""
    assert scene.words_from is not None
    began_at = scene.words_from.fade.began_at
    pictures = []
    for number in range(FRAMES + 1):
        shot = scene.shot_at(began_at + number / FRAMES * FADE_S, number)
        data = supervisor.paint(shot).result(PATIENCE_S).jpeg
        pictures.append(Image.open(io.BytesIO(data)).convert("RGB"))
    changes = [distance(one, other) for one, other in zip(pictures, pictures[1:], strict=False)]
    return max(changes) / statistics.median(changes)


def test_an_even_fade_of_the_demo_model_has_no_jump() -> None:
    scene = Scene.single("three yellow stars on a night sky", "hold", seed=1)
    found = weights.find("demo", "cpu")
    with running(
        lambda report: open_engine(replace(SETTINGS, device="cpu"), found, report),
        channels=[schedule(30, scene)],
    ) as run:
        wait_until(lambda: run.supervisor.status.state == "resting")
        even = {"prompt": "a red mushroom in the forest", "fade_s": FADE_S, "easing": "even"}
        linear = run.channel.change(even).scene
        wait_until(lambda: (words := run.channel.scene.words_from) and words.fade.spacing)
        assert largest_over_median(run.supervisor, linear) > 4
        assert largest_over_median(run.supervisor, run.channel.scene) < 2.5
