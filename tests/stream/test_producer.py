"""The generation thread: pace, rest, faults, and a bounded end."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.engines import ColourEngine, opens
from turbostream.stream import producer as producer_module
from turbostream.stream.channel import Channel
from turbostream.stream.frame import Frame
from turbostream.stream.meter import Meter
from turbostream.stream.producer import FAILURES_BEFORE_REBUILD, Producer
from turbostream.stream.scene import Scene, Shot
from turbostream.stream.seam import Engine, EngineUnusable, OpenEngine, Progress, Report


@contextmanager
def running(open_engine: OpenEngine, fps: float = 100.0) -> Iterator[tuple[Producer, Channel]]:
    channel = Channel("main", Scene("words"))
    producer = Producer(channel, open_engine, Meter(), fps)
    producer.start()
    try:
        yield producer, channel
    finally:
        assert producer.stop(timeout_s=2.0)


def wait_until(condition: Callable[[], object], timeout_s: float = 5.0) -> None:
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


def test_it_keeps_the_pace_without_drift() -> None:
    period_s = 0.1  # long enough for a busy machine to keep; drift would add up over the frames
    with running(opens(ColourEngine()), fps=1 / period_s) as (producer, channel):
        times: list[float] = []
        channel.buffer.listen(lambda: times.append(time.monotonic()))
        with channel.watched():
            wait_until(lambda: len(times) == 25)
    beats = [(at - times[0]) / period_s for at in times]
    off = [beat - round(beat) for beat in beats]
    assert statistics.median(off) == pytest.approx(0, abs=0.2), "the beat itself must not wander"
    assert beats[-1] == pytest.approx(24, abs=2)


def test_frames_carry_rising_numbers_their_recipe_and_the_fingerprint() -> None:
    with running(opens(ColourEngine())) as (producer, channel), channel.watched():
        frames = collect(channel)
        wait_until(lambda: len(frames) > 20)
    assert all(a.number < b.number for a, b in itertools.pairwise(frames))
    assert {frame.fingerprint for frame in frames} == {"colour"}
    assert {frame.shot.prompt for frame in frames} == {"words"}
    assert all(frame.stage_ms["jpeg"] >= 0 for frame in frames)


def test_it_rests_while_nobody_watches_and_wakes_within_a_frame() -> None:
    engine = ColourEngine()
    with running(opens(engine), fps=30) as (producer, channel):
        with channel.watched():
            wait_until(lambda: producer.meter.frames > 2)
        wait_until(lambda: producer.state.name == "resting")
        painted = len(engine.shots)
        time.sleep(0.3)
        assert len(engine.shots) == painted
        start = time.monotonic()
        with channel.watched():
            wait_until(lambda: len(engine.shots) > painted)
        assert time.monotonic() - start < 0.1


def test_new_words_show_in_every_frame_after_the_change() -> None:
    with running(opens(ColourEngine())) as (producer, channel), channel.watched():
        frames = collect(channel)
        wait_until(lambda: len(frames) > 5)
        change = channel.change({"prompt": "other"})
        wait_until(lambda: frames[-1].number > change.after + 5)
        measured = producer.meter.as_dict(0)["prompt_to_picture_ms"]
    assert all((f.shot.prompt == "other") == (f.number > change.after) for f in frames)
    assert measured["p50"] is not None  # type: ignore[index]
    assert 0 < measured["p50"] < 1000  # type: ignore[index]


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

    def open_engine(report: Report) -> Engine:
        engines.append(ColourEngine(broken) if len(engines) < 2 else ColourEngine())
        return engines[-1]

    with running(open_engine) as (producer, channel), channel.watched():
        states = {producer.state.name}
        wait_until(lambda: states.add(producer.state.name) or producer.meter.frames > 5)
        assert producer.unhealthy() is None
    assert "failed" in states
    assert len(engines) == 3
    assert all(engine.closed for engine in engines)
    assert len(engines[0].shots) == FAILURES_BEFORE_REBUILD


def test_an_engine_that_cannot_be_opened_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer_module, "FIRST_PAUSE_S", 0.05)
    attempts = itertools.count()

    def open_engine(report: Report) -> Engine:
        if next(attempts) < 2:
            raise RuntimeError("not yet")
        return ColourEngine()

    with running(open_engine) as (producer, channel), channel.watched():
        assert producer.unhealthy() is not None
        wait_until(lambda: producer.meter.frames > 2)


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
        go_on.wait(5)
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
            stuck.wait(5)

    with running(opens(ColourEngine(hang_on_third))) as (producer, channel), channel.watched():
        wait_until(lambda: producer.unhealthy() is not None)
        stuck.set()
        wait_until(lambda: producer.unhealthy() is None)


def test_it_stops_while_resting_and_before_it_was_started() -> None:
    with running(opens(ColourEngine())) as (producer, channel):
        wait_until(lambda: producer.state.name == "resting")
    assert not producer.running
    assert Producer(channel, opens(ColourEngine()), Meter(), 10).stop()
