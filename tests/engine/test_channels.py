"""Two channels on the embedded demo model: their shots are painted in batches of two."""

from __future__ import annotations

import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future

import torch

from tests.engine.conftest import CPU
from tests.stream.running import collect, running, schedule, wait_until
from turbostream.engine import weights
from turbostream.engine.cuda.memory_plan import Plan
from turbostream.engine.local_engine import LocalEngine
from turbostream.engine.model.loading import load_pipeline
from turbostream.engine.model.model import Model
from turbostream.stream.engine_api import Engine, Picture, Report
from turbostream.stream.scene import Scene
from turbostream.stream.shot import Shot

FPS = 6.0, 2.0
BATCHES = 6  # of two; a busy machine paints a few frames a second


class Counting(LocalEngine):
    """Notes how many shots each submission has, which thread made it, and when it took each."""

    def __init__(self, model: Model) -> None:
        super().__init__(model, 85, "demo", Plan(streams=0, max_batch=2))
        self.sizes: list[int] = []
        self.threads: set[str] = set()
        self.taken: dict[str, list[float]] = defaultdict(list)  # prompt -> monotonic s

    def submit(self, shots: Sequence[Shot]) -> Future[list[Picture]]:
        self.sizes.append(len(shots))
        self.threads.add(threading.current_thread().name)
        for shot in shots:
            self.taken[shot.prompt].append(time.monotonic())
        return super().submit(shots)


def open_demo() -> Counting:
    pipe = load_pipeline(weights.DEMO_FOLDER, CPU, "demo")
    return Counting(Model(pipe, CPU))


def test_two_channels_of_different_rates_share_batches_and_each_shows_its_own_pictures() -> None:
    scenes = Scene.single("three yellow stars", seed=1), Scene.single("a red circle", seed=2)
    channels = [schedule(fps, scene) for fps, scene in zip(FPS, scenes, strict=True)]
    frames = [collect(scheduled.channel) for scheduled in channels]
    opened: list[Counting] = []

    def open_engine(report: Report) -> Engine:
        torch.set_num_threads(1)
        opened.append(open_demo())
        return opened[0]

    with running(open_engine, channels=channels, watched=channels):
        wait_until(lambda: opened and opened[0].sizes.count(2) >= BATCHES, timeout_s=120)
        # not more than the slower one's only while the machine cannot keep up with both
        wait_until(lambda: len(frames[0]) > len(frames[1]) + BATCHES, timeout_s=120)
    (engine,) = opened
    assert set(engine.sizes) <= {1, 2}
    assert engine.threads == {"generation"}
    assert sum(engine.sizes) == sum(len(found) for found in frames), "every picture is published"
    again = open_demo()
    for scheduled, found in zip(channels, frames, strict=True):
        assert [frame.number for frame in found] == list(range(1, len(found) + 1))
        taken = engine.taken[scheduled.channel.name]
        took_s = taken[-1] - taken[0]
        assert (len(found) - 2) * scheduled.period_s <= took_s, "never faster than its rate"
        assert {frame.shot.prompt for frame in found} == {scheduled.channel.name}
        for frame in found[:3]:  # painted again, alone, by an engine of its own
            assert again.submit([frame.shot]).result()[0].jpeg == frame.jpeg
    assert not {frame.jpeg for frame in frames[0]} & {frame.jpeg for frame in frames[1]}
    again.close()


def test_a_batch_of_two_is_the_two_pictures_in_the_order_of_the_shots() -> None:
    engine = open_demo()
    one, other = (
        Scene.single(words).shot_at(0.0, 1) for words in ("a red circle", "a blue square")
    )
    alone = [engine.submit([shot]).result()[0].jpeg for shot in (one, other)]
    for order in itertools.permutations((0, 1)):
        shots = [(one, other)[index] for index in order]
        pictures = [picture.jpeg for picture in engine.submit(shots).result()]
        assert pictures == [alone[index] for index in order]
    engine.close()
