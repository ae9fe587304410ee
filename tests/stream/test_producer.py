"""The generation thread: pace, rest, faults, and a bounded end."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.engines import ColourEngine, opens
from tests.stream.clock import Clock
from turbostream.stream import producer as producer_module
from turbostream.stream.channel import Channel
from turbostream.stream.engine_api import (
    Engine,
    EngineUnavailable,
    EngineUnusable,
    OpenEngine,
    Progress,
    Report,
)
from turbostream.stream.frame import Frame
from turbostream.stream.meter import Meter
from turbostream.stream.producer import FAILURES_BEFORE_REBUILD, Producer
from turbostream.stream.scene import Scene, Shot

PATIENCE_S = 30.0  # a limit of what comes at once, unless the machine is busy


@contextmanager
def running(
    open_engine: OpenEngine, fps: float = 100.0, clock: Clock | None = None
) -> Iterator[tuple[Producer, Channel]]:
    channel = Channel("main", Scene("words"), clock.monotonic if clock else time.monotonic)
    producer = Producer(channel, open_engine, Meter(), fps)
    if clock:
        producer._stopping = clock.stopping
    producer.start()
    try:
        yield producer, channel
    finally:
        assert producer.stop(timeout_s=PATIENCE_S)


def wait_until(condition: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.002)


def collect(channel: Channel) -> list[Frame]:
    frames: list[Frame] = []
    channel.buffer.listen(lambda: frames.append(channel.buffer.newest()))  # type: ignore[arg-type]
    return frames


def test_the_engine_is_opened_and_called_on_the_generation_thread_alone() -> None:
    engines: list[ColourEngine] = []

    def open_engine(report: Report) -> Engine:
        engines.append(ColourEngine())
        return engines[0]

    with running(open_engine) as (producer, channel), channel.watched():
        wait_until(lambda: producer.meter.frames > 5)
    assert engines[0].threads == {"generation"}
    assert engines[0].closed


def test_it_keeps_the_pace_without_drift(clock: Clock) -> None:
    period_s = 0.1
    times: list[float] = []

    def paint(shot: Shot) -> None:
        times.append(clock.now)
        clock.now += period_s * (2.5 if len(times) == 11 else len(times) % 10 / 10)

    engine = opens(ColourEngine(paint))
    with running(engine, 1 / period_s, clock) as (_, channel), channel.watched():
        wait_until(lambda: len(times) > 30)
    beats = [(at - times[0]) / period_s for at in times[:30]]
    late = [*range(11), 12.5, *range(13, 31)]  # beats that were missed are skipped, not caught up
    assert beats == pytest.approx(late, abs=1e-6)


def test_frames_carry_rising_numbers_their_recipe_and_the_fingerprint() -> None:
    with running(opens(ColourEngine())) as (producer, channel), channel.watched():
        frames = collect(channel)
        wait_until(lambda: len(frames) > 20)
    assert all(a.number < b.number for a, b in itertools.pairwise(frames))
    assert {frame.fingerprint for frame in frames} == {"colour"}
    assert {frame.shot.prompt for frame in frames} == {"words"}
    assert all(frame.stage_ms["jpeg"] >= 0 for frame in frames)


def test_it_rests_while_nobody_watches() -> None:
    engine = ColourEngine()
    with running(opens(engine), fps=30) as (producer, channel):
        with channel.watched():
            wait_until(lambda: producer.meter.frames > 2)
        wait_until(lambda: producer.state.name == "resting")
        painted = len(engine.shots)
        time.sleep(0.3)
        assert len(engine.shots) == painted


def test_it_wakes_at_once_and_not_at_the_next_beat() -> None:
    engine = ColourEngine()
    with running(opens(engine), fps=1 / (3 * PATIENCE_S)) as (producer, channel):
        with channel.watched():
            wait_until(lambda: len(engine.shots) == 1)
        wait_until(lambda: producer.state.name == "resting")
        with channel.watched():
            wait_until(lambda: len(engine.shots) == 2)


def test_new_words_show_in_every_frame_after_the_change() -> None:
    with running(opens(ColourEngine())) as (producer, channel), channel.watched():
        frames = collect(channel)
        wait_until(lambda: len(frames) > 5)
        began = time.monotonic()
        change = channel.change({"prompt": "other"})
        wait_until(lambda: frames[-1].number > change.after + 5)
        waited_ms = (time.monotonic() - began) * 1000
        measured = producer.meter.as_dict(0)["prompt_to_picture_ms"]
    assert all((f.shot.prompt == "other") == (f.number > change.after) for f in frames)
    assert measured["p50"] is not None  # type: ignore[index]
    assert 0 < measured["p50"] < waited_ms  # type: ignore[index]


def test_it_survives_a_frame_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    count = itertools.count()

    def sometimes(shot: Shot) -> None:
        if next(count) % 3 == 1:
            raise ValueError("a bad frame")

    with running(opens(ColourEngine(sometimes))) as (producer, channel), channel.watched():
        wait_until(lambda: producer.meter.frames > 20)
        assert producer.state.name == "streaming"
    logged = [record for record in caplog.records if "a bad frame" in record.getMessage()]
    assert len(logged) == 1, "each kind of failure is logged once"


def test_several_failures_in_a_row_open_a_new_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer_module, "FIRST_PAUSE_S", 0.05)
    engines: list[ColourEngine] = []

    def broken(shot: Shot) -> None:
        raise RuntimeError("broken for ever")

    looked = threading.Event()

    def open_engine(report: Report) -> Engine:
        if len(engines) == 2:
            looked.wait(PATIENCE_S)
        engines.append(ColourEngine(broken) if len(engines) < 2 else ColourEngine())
        return engines[-1]

    with running(open_engine) as (producer, channel), channel.watched():
        wait_until(lambda: len(engines) == 2 and engines[1].closed)
        wait_until(lambda: producer.state.name == "failed")
        looked.set()
        wait_until(lambda: producer.meter.frames > 5)
        assert producer.unhealthy() is None
    assert len(engines) == 3
    assert all(engine.closed for engine in engines)
    assert len(engines[0].shots) == FAILURES_BEFORE_REBUILD


def test_an_engine_that_cannot_be_opened_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer_module, "FIRST_PAUSE_S", 0.05)
    attempts, looked = itertools.count(), threading.Event()

    def open_engine(report: Report) -> Engine:
        if next(attempts) < 2:
            raise RuntimeError("not yet")
        looked.wait(PATIENCE_S)
        return ColourEngine()

    with running(open_engine) as (producer, channel), channel.watched():
        wait_until(lambda: producer.state.name == "failed")
        assert "not yet" in str(producer.unhealthy())
        looked.set()
        wait_until(lambda: producer.meter.frames > 2)


def test_an_engine_that_is_away_is_waited_for_and_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(producer_module, "FIRST_PAUSE_S", 0.01)
    attempts, looked = itertools.count(), threading.Event()

    def open_engine(report: Report) -> Engine:
        if next(attempts) < 3:
            raise EngineUnavailable("The hub is away.")
        looked.wait(PATIENCE_S)
        return ColourEngine()

    with running(open_engine) as (producer, channel), channel.watched():
        wait_until(lambda: producer.state.name == "failed")
        assert producer.unhealthy() == "The hub is away. Trying again."
        assert producer.unusable is None
        looked.set()
        wait_until(lambda: producer.meter.frames > 2)
    said = [record for record in caplog.records if "The hub is away." in record.getMessage()]
    assert len(said) == 1
    assert said[0].exc_info is None


def test_an_engine_that_needs_the_user_ends_the_thread_with_the_sentence() -> None:
    def open_engine(report: Report) -> Engine:
        raise EngineUnusable("Give another MODEL_ID.")

    with running(open_engine) as (producer, channel):
        wait_until(lambda: not producer.running)
        assert producer.unusable == "Give another MODEL_ID."
        assert producer.unhealthy() == "Give another MODEL_ID."


def test_the_state_follows_the_engines_start() -> None:
    go_on = threading.Event()

    def open_engine(report: Report) -> Engine:
        report(Progress("downloading", "Downloading it.", 10, 100))
        go_on.wait(PATIENCE_S)
        return ColourEngine()

    with running(open_engine) as (producer, channel):
        wait_until(lambda: producer.state.name == "downloading")
        assert (producer.state.done_bytes, producer.state.total_bytes) == (10, 100)
        assert producer.unhealthy() == "Downloading it."
        go_on.set()
        wait_until(lambda: producer.state.name == "resting")
        assert producer.unhealthy() is None


def test_it_is_unhealthy_when_wanted_frames_do_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer_module, "OVERDUE_S", 0.1)
    stuck, count = threading.Event(), itertools.count()

    def hang_on_third(shot: Shot) -> None:
        if next(count) == 3:
            stuck.wait(PATIENCE_S)

    with running(opens(ColourEngine(hang_on_third))) as (producer, channel), channel.watched():
        wait_until(lambda: "No frame has come for" in str(producer.unhealthy()))
        stuck.set()
        wait_until(lambda: producer.unhealthy() is None)


def test_it_stops_while_resting_and_before_it_was_started() -> None:
    with running(opens(ColourEngine())) as (producer, channel):
        wait_until(lambda: producer.state.name == "resting")
    assert not producer.running
    assert Producer(channel, opens(ColourEngine()), Meter(), 10).stop()
