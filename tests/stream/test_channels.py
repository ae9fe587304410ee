"""Several channels on one engine: each keeps its rate, and what fits together is one batch."""

from __future__ import annotations

import io
import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future

import pytest
from PIL import Image

from tests.engines import ColourEngine, colour_of, opens
from tests.stream.clock import Clock
from tests.stream.running import PATIENCE_S, collect, running, schedule, wait_until
from turbostream.stream import scheduler as scheduler_module
from turbostream.stream import supervisor as supervisor_module
from turbostream.stream.engine_api import Picture
from turbostream.stream.scene import Scene
from turbostream.stream.shot import Shot
from turbostream.stream.state import State


class Recorder:
    """An engine on a simulated clock: a batch takes `batch_s`, whatever its size.

    submitted: when each submission began, and the prompts in it. `before` is called with its shots
    and may raise.
    """

    depth, fingerprint = 1, "recorder"
    choices: Mapping[str, str] = {}

    def __init__(
        self,
        clock: Clock,
        max_batch: int = 2,
        batch_s: float = 0.0,
        before: Callable[[Sequence[Shot]], object] = lambda shots: None,
    ) -> None:
        self.max_batch = max_batch
        self.submitted: list[tuple[float, tuple[str, ...]]] = []
        self._clock, self._batch_s, self._before = clock, batch_s, before

    def submit(self, shots: Sequence[Shot]) -> Future[list[Picture]]:
        self.submitted.append((self._clock.now, tuple(shot.prompt for shot in shots)))
        self._clock.now += self._batch_s
        done: Future[list[Picture]] = Future()
        try:
            self._before(shots)
            done.set_result([Picture(shot.prompt.encode(), {}) for shot in shots])
        except Exception as error:
            done.set_exception(error)
        return done

    def close(self) -> None: ...

    @property
    def batches(self) -> list[tuple[str, ...]]:
        return [prompts for _, prompts in self.submitted]

    def painted(self, prompt: str) -> list[float]:
        """When each shot of `prompt` was submitted."""
        return [at for at, prompts in self.submitted if prompt in prompts]


def gaps(times: Sequence[float]) -> list[float]:
    return [after - before for before, after in itertools.pairwise(times)]


def test_each_channel_keeps_its_own_rate_and_they_share_a_batch_when_both_are_due(
    clock: Clock,
) -> None:
    engine = Recorder(clock)
    channels = [schedule(30, "fast", clock), schedule(10, "slow", clock)]
    with running(opens(engine), clock=clock, channels=channels, watched=channels):
        wait_until(lambda: len(engine.painted("slow")) > 100)
    assert gaps(engine.painted("fast")[:300]) == pytest.approx([1 / 30] * 299, abs=0.0011)
    assert gaps(engine.painted("slow")[:100]) == pytest.approx([1 / 10] * 99, abs=0.0011)
    turns = [("fast", "slow"), ("slow", "fast")]
    assert Counter(len(batch) for batch in engine.batches[:300]) == {2: 100, 1: 200}
    assert all(batch in turns for batch in engine.batches[:300:3])


def test_channels_of_the_same_rate_are_always_one_batch(clock: Clock) -> None:
    engine = Recorder(clock, max_batch=8, batch_s=0.004)
    channels = [schedule(30, name, clock) for name in "abcd"]
    with running(opens(engine), clock=clock, channels=channels, watched=channels):
        wait_until(lambda: len(engine.batches) > 100)
    assert {len(batch) for batch in engine.batches} == {4}


def test_sizes_that_do_not_fit_together_are_not_batched(clock: Clock) -> None:
    engine = Recorder(clock, max_batch=8)
    scenes = [
        Scene.single("wide", width=128),
        Scene.single("narrow"),
        Scene.single("wide too", width=128),
    ]
    channels = [schedule(30, scene, clock) for scene in scenes]
    with running(opens(engine), clock=clock, channels=channels, watched=channels):
        wait_until(lambda: len(engine.batches) > 100)
    found = {tuple(sorted(batch)) for batch in engine.batches[:100]}
    assert found == {("wide", "wide too"), ("narrow",)}
    assert gaps(engine.painted("narrow")[:40]) == pytest.approx([1 / 30] * 39, abs=0.0011)


def test_with_more_channels_than_a_batch_holds_the_longest_overdue_goes_first(
    clock: Clock,
) -> None:
    engine = Recorder(clock, max_batch=2, batch_s=0.05)  # 40 shots a second, and 150 are due
    channels = [schedule(30, name, clock) for name in "abcde"]
    with running(opens(engine), clock=clock, channels=channels, watched=channels):
        wait_until(lambda: len(engine.batches) > 100)
    for name in "abcde":  # five channels, two at a time: each has its turn in every third batch
        assert max(gaps(engine.painted(name)[:30])) < 0.05 * 3 + 0.001
    assert {len(batch) for batch in engine.batches} == {2}


def test_a_slow_channel_delays_a_fast_one_by_a_batch_at_most(clock: Clock) -> None:
    def slow_takes_long(shots: Sequence[Shot]) -> None:
        clock.now += 0.040 if any(shot.prompt == "slow" for shot in shots) else 0.002

    engine = Recorder(clock, max_batch=1, before=slow_takes_long)
    channels = [schedule(50, "fast", clock), schedule(7, "slow", clock)]
    with running(opens(engine), clock=clock, channels=channels, watched=channels):
        wait_until(lambda: len(engine.painted("slow")) > 20)
    assert max(gaps(engine.painted("fast")[:100])) < 1 / 50 + 0.040 + 0.001
    assert max(gaps(engine.painted("slow")[:20])) < 1 / 7 + 0.002 + 0.001


def test_a_channel_that_nobody_watches_is_not_painted(clock: Clock) -> None:
    engine = Recorder(clock)
    seen, unseen = schedule(30, "seen", clock), schedule(30, "unseen", clock)
    channels = [seen, unseen]
    with running(opens(engine), clock=clock, channels=channels, watched=[seen]):
        wait_until(lambda: len(engine.batches) > 50)
        assert not engine.painted("unseen")
        with unseen.channel.watched():
            wait_until(lambda: len(engine.painted("unseen")) > 50)
        wait_until(lambda: not unseen.channel.wanted)
        painted = len(engine.batches)
        wait_until(lambda: len(engine.batches) > painted + 50)
    assert len(engine.painted("unseen")) < len(engine.batches) - 50
    assert unseen.channel.last_number == unseen.meter.frames


def test_a_channel_wakes_at_once_while_another_waits_for_its_beat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scheduler_module, "LONGEST_WAIT_S", 3 * PATIENCE_S)
    rare, new = schedule(1 / (3 * PATIENCE_S), "rare"), schedule(100, "new")
    engine = ColourEngine()
    with running(opens(engine), channels=[rare, new], watched=[rare]):
        wait_until(lambda: rare.meter.frames == 1)
        with new.channel.watched():
            wait_until(lambda: new.meter.frames > 3)
    assert rare.meter.frames == 1


def test_each_picture_is_published_in_the_channel_of_its_own_shot() -> None:
    engine = ColourEngine()
    engine.max_batch = 2
    channels = [schedule(100, "red things"), schedule(40, "blue things")]
    frames = [collect(scheduled.channel) for scheduled in channels]
    with running(opens(engine), channels=channels, watched=channels):
        wait_until(lambda: all(len(found) > 10 for found in frames))
    for scheduled, found in zip(channels, frames, strict=True):
        assert {frame.shot.prompt for frame in found} == {scheduled.channel.name}
        assert {frame.channel for frame in found} == {scheduled.channel.name}
        numbers = [frame.number for frame in found]
        assert numbers == list(range(1, len(numbers) + 1)), "each channel counts its own frames"
        assert {colour_of_jpeg(frame.jpeg) for frame in found} == {
            colour_of_jpeg(ColourEngine().submit([found[0].shot]).result()[0].jpeg)
        }
        assert scheduled.meter.frames == len(found)
    assert colour_of("red things") != colour_of("blue things")


def colour_of_jpeg(jpeg: bytes) -> tuple[int, ...]:
    pixel = Image.open(io.BytesIO(jpeg)).getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return pixel


def test_one_failing_shot_costs_the_others_of_its_batch_nothing(clock: Clock) -> None:
    broken = [True]

    def refuse(shots: Sequence[Shot]) -> None:
        if broken[0] and any(shot.prompt == "bad" for shot in shots):
            raise ValueError("a bad shot")

    opened: list[Recorder] = []
    engine = Recorder(clock, before=refuse)
    good, bad = schedule(30, "good", clock), schedule(30, "bad", clock)
    frames = collect(good.channel)

    def open_engine(report: object) -> Recorder:
        opened.append(engine)
        return engine

    channels = [good, bad]
    with running(open_engine, clock=clock, channels=channels, watched=channels) as run:
        wait_until(lambda: len(frames) > 50)
        assert run.supervisor.status.state is State.STREAMING
        assert [frame.number for frame in frames[:50]] == list(range(1, 51)), "none was lost"
        assert good.meter.figures(0).failed_frames == 0
        assert bad.meter.figures(0).failed_frames > 20
        assert bad.meter.frames == 0
        mixed = [batch for batch in engine.batches if len(batch) == 2]
        assert len(mixed) == 1, "a channel whose frame has failed is tried alone"
        broken[0] = False
        wait_until(lambda: bad.meter.frames > 5)
        batches = len(engine.batches)
        wait_until(lambda: len(engine.batches) > batches + 10)
        assert len(engine.batches[-1]) == 2, "and with the others again once it succeeds"
    assert len(opened) == 1, "an engine that paints other channels is not replaced"


def test_a_batch_with_a_picture_missing_is_painted_one_by_one(clock: Clock) -> None:
    class Short(Recorder):
        def submit(self, shots: Sequence[Shot]) -> Future[list[Picture]]:
            done = super().submit(shots)
            if len(shots) > 1:
                done.result().pop()
            return done

    channels = [schedule(30, "a", clock), schedule(30, "b", clock)]
    with running(opens(Short(clock)), clock=clock, channels=channels, watched=channels):
        wait_until(lambda: all(scheduled.meter.frames > 20 for scheduled in channels))
    assert all(scheduled.meter.figures(0).failed_frames == 0 for scheduled in channels)


def test_a_change_is_measured_by_the_meter_of_its_own_channel() -> None:
    channels = [schedule(100, "a"), schedule(100, "b")]
    with running(opens(ColourEngine()), channels=channels, watched=channels):
        wait_until(lambda: all(scheduled.meter.frames > 3 for scheduled in channels))
        channels[1].channel.change({"prompt": "new words"})
        number = channels[1].channel.last_number
        wait_until(lambda: channels[1].meter.frames > number + 3)
    waits = [scheduled.meter.figures(0).prompt_to_picture_ms.p50 for scheduled in channels]
    assert waits[0] is None
    assert waits[1] is not None


def test_it_is_unhealthy_when_one_of_two_watched_channels_gets_no_frames(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    def refuse(shots: Sequence[Shot]) -> None:
        if any(shot.prompt == "bad" for shot in shots):
            raise ValueError("a bad shot")

    channels = [schedule(30, "good", clock), schedule(30, "bad", clock)]
    engine = Recorder(clock, before=refuse)
    with running(opens(engine), clock=clock, channels=channels, watched=channels) as run:
        wait_until(lambda: "No frame has come for" in str(run.supervisor.unhealthy()))
        assert clock.now - 1000 > supervisor_module.MISSING_S
        channels[1].channel.change({"prompt": "good again"})
        wait_until(lambda: run.supervisor.unhealthy() is None)
