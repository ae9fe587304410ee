"""The generation thread: an engine is opened, watched, opened again, and closed in limited time."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from tests.engines import ColourEngine, opens
from tests.stream.running import PATIENCE_S, running, schedule, wait_until
from turbostream.stream import supervisor as supervisor_module
from turbostream.stream.engine_api import Engine, EngineUnavailable, EngineUnusable, Report
from turbostream.stream.health import FAILURES_BEFORE_REOPEN, Call, Health
from turbostream.stream.shot import Shot
from turbostream.stream.state import State, Status
from turbostream.stream.supervisor import Supervisor


def test_the_engine_is_opened_and_called_on_the_generation_thread_alone() -> None:
    engines: list[ColourEngine] = []

    def open_engine(report: Report) -> Engine:
        engines.append(ColourEngine())
        return engines[0]

    with running(open_engine) as run, run.channel.watched():
        wait_until(lambda: run.meter.frames > 5)
    assert engines[0].threads == {"generation"}
    assert engines[0].closed


def test_several_failures_in_a_row_open_a_new_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "FIRST_PAUSE_S", 0.05)
    engines: list[ColourEngine] = []

    def broken(shot: Shot) -> None:
        raise RuntimeError("broken permanently")

    looked = threading.Event()

    def open_engine(report: Report) -> Engine:
        if len(engines) == 2:
            looked.wait(PATIENCE_S)
        engines.append(ColourEngine(broken) if len(engines) < 2 else ColourEngine())
        return engines[-1]

    with running(open_engine) as run, run.channel.watched():
        wait_until(lambda: len(engines) == 2 and engines[1].closed)
        wait_until(lambda: run.supervisor.status.state is State.FAILED)
        looked.set()
        wait_until(lambda: run.meter.frames > 5)
        assert run.supervisor.unhealthy() is None
    assert len(engines) == 3
    assert all(engine.closed for engine in engines)
    assert len(engines[0].shots) == FAILURES_BEFORE_REOPEN


def test_an_engine_that_cannot_be_opened_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "FIRST_PAUSE_S", 0.05)
    attempts, looked = itertools.count(), threading.Event()

    def open_engine(report: Report) -> Engine:
        if next(attempts) < 2:
            raise RuntimeError("not yet")
        looked.wait(PATIENCE_S)
        return ColourEngine()

    with running(open_engine) as run, run.channel.watched():
        wait_until(lambda: run.supervisor.status.state is State.FAILED)
        assert "not yet" in str(run.supervisor.unhealthy())
        looked.set()
        wait_until(lambda: run.meter.frames > 2)


def test_an_engine_that_is_away_is_waited_for_and_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(supervisor_module, "FIRST_PAUSE_S", 0.01)
    attempts, looked = itertools.count(), threading.Event()

    def open_engine(report: Report) -> Engine:
        if next(attempts) < 3:
            raise EngineUnavailable("The hub is away.")
        looked.wait(PATIENCE_S)
        return ColourEngine()

    with running(open_engine) as run, run.channel.watched():
        wait_until(lambda: run.supervisor.status.state is State.FAILED)
        assert run.supervisor.unhealthy() == "The hub is away. Trying again."
        assert run.supervisor.unusable is None
        looked.set()
        wait_until(lambda: run.meter.frames > 2)
    said = [record for record in caplog.records if "The hub is away." in record.getMessage()]
    assert len(said) == 1
    assert said[0].exc_info is None


def test_an_engine_that_needs_the_user_ends_the_thread_with_the_sentence() -> None:
    def open_engine(report: Report) -> Engine:
        raise EngineUnusable("Give another MODEL_ID.")

    with running(open_engine) as run:
        wait_until(lambda: not run.supervisor.running)
        assert run.supervisor.unusable == "Give another MODEL_ID."
        assert run.supervisor.unhealthy() == "Give another MODEL_ID."


def test_the_state_follows_the_engines_start() -> None:
    go_on = threading.Event()

    def open_engine(report: Report) -> Engine:
        report(Status(State.DOWNLOADING, "Downloading it.", 10, 100))
        go_on.wait(PATIENCE_S)
        return ColourEngine()

    with running(open_engine) as run:
        wait_until(lambda: run.supervisor.status.state is State.DOWNLOADING)
        assert (run.supervisor.status.done_bytes, run.supervisor.status.total_bytes) == (10, 100)
        assert run.supervisor.unhealthy() == "Downloading it."
        go_on.set()
        wait_until(lambda: run.supervisor.status.state is State.RESTING)
        assert run.supervisor.unhealthy() is None


def test_it_is_unhealthy_when_wanted_frames_do_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "MISSING_S", 0.1)
    stuck, count = threading.Event(), itertools.count()

    def hang_on_third(shot: Shot) -> None:
        if next(count) == 3:
            stuck.wait(PATIENCE_S)

    with running(opens(ColourEngine(hang_on_third))) as run, run.channel.watched():
        wait_until(lambda: "No frame has come for" in str(run.supervisor.unhealthy()))
        stuck.set()
        wait_until(lambda: run.supervisor.unhealthy() is None)


def test_it_stops_while_resting_and_before_it_was_started() -> None:
    with running(opens(ColourEngine())) as run:
        wait_until(lambda: run.supervisor.status.state is State.RESTING)
    assert not run.supervisor.running
    assert Supervisor([schedule(10)], opens(ColourEngine())).stop()


def test_it_is_unhealthy_when_the_first_frame_does_not_come_for_a_viewer_from_before_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor_module, "MISSING_S", 0.1)
    stuck, channel = threading.Event(), schedule(100)
    engine = ColourEngine(lambda shot: stuck.wait(PATIENCE_S))
    with running(opens(engine), channels=[channel], watched=[channel]) as run:
        wait_until(lambda: "No frame has come for" in str(run.supervisor.unhealthy()))
        stuck.set()
        wait_until(lambda: run.supervisor.unhealthy() is None)


def test_a_call_into_the_engine_that_does_not_return_is_overdue() -> None:
    loading, painting = threading.Event(), threading.Event()
    channel = schedule(100)
    opening: list[bool] = []

    def open_engine(report: Report) -> Engine:
        opening.append(True)
        loading.wait(PATIENCE_S)
        return ColourEngine(lambda shot: painting.wait(PATIENCE_S))

    with running(open_engine, channels=[channel], watched=[channel]) as run:

        def overdue(frame_s: float, loading_s: float) -> str | None:
            return run.supervisor.overdue(time.monotonic() + 100, frame_s, loading_s)

        wait_until(lambda: opening)
        assert "The engine has been loading for 100 s" in str(overdue(200, 50))
        assert overdue(50, 200) is None
        assert overdue(50, 0) is None, "0 is no limit"
        loading.set()
        wait_until(lambda: "The engine has been painting one frame for" in str(overdue(50, 200)))
        assert overdue(200, 50) is None
        painting.set()
        wait_until(lambda: channel.meter.frames > 3)
    assert run.supervisor.overdue(time.monotonic() + 100, 1, 1) is None, "after the end"


def test_progress_of_a_start_gives_it_the_whole_time_again() -> None:
    now = [0.0]
    health = Health(lambda: now[0])
    with health.calling(Call.LOADING):
        now[0] = 40.0
        health.report(Status(State.LOADING, "Loading."))
        now[0] = 90.0
        assert health.overdue(now[0], 0, 60) is None
        now[0] = 101.0
        assert health.overdue(now[0], 0, 60) is not None
