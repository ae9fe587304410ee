"""One channel on the generation thread: its pace, its rest, and frames that fail."""

from __future__ import annotations

import itertools
import time

import pytest

from tests.engines import ColourEngine, opens
from tests.stream.clock import Clock
from tests.stream.running import PATIENCE_S, collect, running, wait_until
from turbostream.stream.shot import Shot
from turbostream.stream.state import State


def test_it_keeps_the_pace_without_drift(clock: Clock) -> None:
    period_s = 0.1
    times: list[float] = []

    def paint(shot: Shot) -> None:
        times.append(clock.now)
        clock.now += period_s * (2.5 if len(times) == 11 else len(times) % 10 / 10)

    engine = opens(ColourEngine(paint))
    with running(engine, 1 / period_s, clock) as run, run.channel.watched():
        wait_until(lambda: len(times) > 30)
    beats = [(at - times[0]) / period_s for at in times[:30]]
    late = [*range(11), 12.5, *range(13, 31)]  # beats that were missed are skipped, not caught up
    assert beats == pytest.approx(late, abs=1e-6)


def test_frames_carry_rising_numbers_their_recipe_and_the_fingerprint() -> None:
    with running(opens(ColourEngine())) as run, run.channel.watched():
        frames = collect(run.channel)
        wait_until(lambda: len(frames) > 20)
    assert all(a.number < b.number for a, b in itertools.pairwise(frames))
    assert {frame.fingerprint for frame in frames} == {"colour"}
    assert {frame.shot.prompt for frame in frames} == {"words"}
    assert all(frame.stage_ms["jpeg"] >= 0 for frame in frames)


def test_it_rests_while_nobody_watches() -> None:
    engine = ColourEngine()
    with running(opens(engine), fps=30) as run:
        with run.channel.watched():
            wait_until(lambda: run.meter.frames > 2)
        wait_until(lambda: run.supervisor.status.state is State.RESTING)
        painted = len(engine.shots)
        time.sleep(0.3)
        assert len(engine.shots) == painted


def test_it_wakes_at_once_and_not_at_the_next_beat() -> None:
    engine = ColourEngine()
    with running(opens(engine), fps=1 / (3 * PATIENCE_S)) as run:
        with run.channel.watched():
            wait_until(lambda: len(engine.shots) == 1)
        wait_until(lambda: run.supervisor.status.state is State.RESTING)
        with run.channel.watched():
            wait_until(lambda: len(engine.shots) == 2)


def test_new_words_show_in_every_frame_after_the_change() -> None:
    with running(opens(ColourEngine())) as run, run.channel.watched():
        frames = collect(run.channel)
        wait_until(lambda: len(frames) > 5)
        began = time.monotonic()
        change = run.channel.change({"prompt": "other"})
        wait_until(lambda: frames[-1].number > change.after + 5)
        waited_ms = (time.monotonic() - began) * 1000
        measured = run.meter.figures(0).prompt_to_picture_ms
    assert all((f.shot.prompt == "other") == (f.number > change.after) for f in frames)
    assert measured.p50 is not None
    assert 0 < measured.p50 < waited_ms


def test_it_survives_a_frame_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    count = itertools.count()

    def sometimes(shot: Shot) -> None:
        if next(count) % 3 == 1:
            raise ValueError("a bad frame")

    with running(opens(ColourEngine(sometimes))) as run, run.channel.watched():
        wait_until(lambda: run.meter.frames > 20)
        assert run.supervisor.status.state is State.STREAMING
    logged = [record for record in caplog.records if "a bad frame" in record.getMessage()]
    assert len(logged) == 1, "each kind of failure is logged once"


def test_words_that_nobody_watches_are_measured_from_the_moment_somebody_does(
    clock: Clock,
) -> None:
    with running(opens(ColourEngine()), clock=clock) as run:
        with run.channel.watched():
            wait_until(lambda: run.meter.frames > 2)
        wait_until(lambda: run.supervisor.status.state is State.RESTING)
        run.channel.change({"prompt": "other"})
        clock.now += 60.0
        with run.channel.watched():
            wait_until(lambda: run.meter.figures(0).prompt_to_picture_ms.p50 is not None)
        assert run.meter.figures(0).prompt_to_picture_ms.p50 < 1000  # type: ignore[operator]
