"""Side jobs: between the frames of a busy channel, while the channel rests, and when they fail."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager

import pytest

from tests.engines import ColourEngine, NoMixes, opens
from tests.stream.clock import Clock, Pending
from tests.stream.running import PATIENCE_S, Running, collect, running, wait_until
from tests.stream.test_channels import Recorder
from tests.stream.test_in_flight import TwoStreams
from turbostream.stream import supervisor as supervisor_module
from turbostream.stream.engine_api import EngineClosed, EngineUnavailable, Picture
from turbostream.stream.health import FAILURES_BEFORE_REOPEN
from turbostream.stream.shot import Shot, ShotError
from turbostream.stream.side_jobs import MOST_WAITING, TooManyJobs
from turbostream.stream.state import State
from turbostream.stream.supervisor import Supervisor

JOBS = 20


def shots(*names: str, width: int | None = None) -> list[Shot]:
    return [Shot.single(name, seed=1, width=width) for name in names]


def numbered(count: int) -> list[Shot]:
    return shots(*(f"job {number}" for number in range(count)))


class Held(ColourEngine):
    """Waits at the shot "held" until it is released."""

    def __init__(self, max_batch: int = 1) -> None:
        super().__init__(self._hold)
        self.max_batch = max_batch
        self.entered, self.let_go = threading.Event(), threading.Event()
        self.submissions: list[list[str]] = []

    def submit(self, shots: Sequence[Shot]) -> Future[list[Picture]]:
        self.submissions.append([shot.prompt for shot in shots])
        return super().submit(shots)

    def _hold(self, shot: Shot) -> None:
        if shot.prompt == "held":
            self.entered.set()
            assert self.let_go.wait(PATIENCE_S)


@contextmanager
def busy(engine: Held) -> Iterator[Running]:
    """Nobody watches, and the engine works on a job until it is released or the block ends."""
    with running(opens(engine)) as run:
        wait_until(lambda: run.supervisor.status.state is State.RESTING)
        run.supervisor.paint(shots("held")[0])
        assert engine.entered.wait(PATIENCE_S)
        try:
            yield run
        finally:
            engine.let_go.set()


# -- between frames ------------------------------------------------------------------------------


def test_a_job_wakes_a_resting_stream_and_is_no_viewer() -> None:
    engine = ColourEngine()
    with running(opens(engine)) as run:
        wait_until(lambda: run.supervisor.status.state is State.RESTING)
        first = run.supervisor.paint(shots("preview")[0]).result(PATIENCE_S)
        again = run.supervisor.paint(shots("preview")[0]).result(PATIENCE_S)
        wait_until(lambda: run.supervisor.status.state is State.RESTING)
        assert run.channel.watchers == 0
        assert (run.meter.frames, run.channel.last_number) == (0, 0)
    assert first.jpeg == again.jpeg
    assert engine.shots == shots("preview", "preview")


def recorded(clock: Clock, fps: float, batch_s: float) -> tuple[list[str], list[float]]:
    """(the prompts of what an engine painted from the frame on in which JOBS jobs came, when each
    began); the job's prompts are "job"."""
    jobs: list[Future[Picture]] = []
    began = 0

    def ask(batch: Sequence[Shot]) -> None:
        nonlocal began
        if not jobs and len(engine.submitted) == 3:
            began = len(engine.submitted) - 1
            jobs.extend(run.supervisor.paint(shot) for shot in shots(*["job"] * JOBS))

    engine = Recorder(clock, max_batch=1, batch_s=batch_s, before=ask)
    with running(opens(engine), fps, clock) as run, run.channel.watched():
        wait_until(lambda: jobs and all(job.done() for job in jobs))
        after = len(engine.submitted)
        wait_until(lambda: len(engine.submitted) > after + 2)
    found = engine.submitted[began:]
    return [prompts[0] for _, prompts in found], [at for at, _ in found]


def test_jobs_and_frames_take_turns_where_the_stream_is_always_behind(clock: Clock) -> None:
    prompts, _ = recorded(clock, fps=1000, batch_s=0.5)
    assert prompts[: 2 * JOBS] == ["words", "job"] * JOBS
    assert "job" not in prompts[2 * JOBS :]


def test_a_stream_with_time_to_spare_loses_no_beat_to_jobs(clock: Clock) -> None:
    prompts, times = recorded(clock, fps=10, batch_s=0.03)
    assert prompts.index("job", JOBS) < 2 * JOBS, "there is time for more than one in a beat"
    frames = [at for at, prompt in zip(times, prompts, strict=True) if prompt == "words"]
    late = [at - frames[0] - 0.1 * number for number, at in enumerate(frames)]
    assert len(frames) > 5
    assert 0 < max(late) < 0.03, "by the job that was being painted, and no frame is left out"


def test_jobs_cost_a_device_with_submissions_in_flight_half_of_its_frames_at_most(
    clock: Clock,
) -> None:
    """A job does not leave the device idle, and the frames behind it are submitted meanwhile."""
    jobs: list[Future[Picture]] = []
    kinds: list[str] = []

    class Asked(TwoStreams):
        def submit(self, shots: Sequence[Shot]) -> Pending:
            kinds.append(shots[0].prompt)
            if len(kinds) == 10:
                jobs.extend(run.supervisor.paint(shot) for shot in several)
            return super().submit(shots)

    engine, several = Asked(clock), shots(*["job"] * JOBS)
    with running(lambda report: engine, fps=1000, clock=clock) as run, run.channel.watched():
        wait_until(lambda: jobs and all(job.done() for job in jobs))
    last = len(kinds) - kinds[::-1].index("job")
    assert kinds[10:last].count("words") >= JOBS - 1
    assert min(engine.in_flight[3:last]) >= 1
    assert max(engine.in_flight) == engine.depth - 1


# -- many shots ----------------------------------------------------------------------------------


def test_many_shots_are_painted_one_at_a_time_in_order_whatever_batch_the_engine_takes() -> None:
    """A batch of another size would stop the stream while its graph is captured."""
    engine = Held(max_batch=8)
    with busy(engine) as run:
        probes = run.supervisor.paint_all(shots("b", "a", "c"))
        engine.let_go.set()
        pictures = probes.result(PATIENCE_S)
        alone = [run.supervisor.paint(shot).result(PATIENCE_S) for shot in shots("b", "a", "c")]
    assert engine.submissions[1:4] == [["b"], ["a"], ["c"]]
    assert [one.jpeg for one in pictures] == [one.jpeg for one in alone]


def test_each_job_has_its_turn() -> None:
    engine = Held(max_batch=2)
    with busy(engine) as run:
        mixed = run.supervisor.paint_all([*shots("a", "b", "c"), *shots("d", width=128)])
        preview = run.supervisor.paint(shots("preview")[0])
        engine.let_go.set()
        assert len(mixed.result(PATIENCE_S)) == 4
        assert preview.done()
    assert engine.submissions[1:] == [["a"], ["preview"], ["b"], ["c"], ["d"]]


def test_shots_above_the_limit_and_a_job_without_shots_are_refused() -> None:
    engine = Held()
    with busy(engine) as run:
        jobs = [run.supervisor.paint_all(numbered(MOST_WAITING - 2))]
        jobs.append(run.supervisor.paint(shots("last")[0]))  # "held" is one of them
        for one_too_many in (shots("late"), numbered(MOST_WAITING + 1)):
            with pytest.raises(TooManyJobs, match=r"At most 32 pictures may wait .*; try again"):
                run.supervisor.paint_all(one_too_many)
        with pytest.raises(ValueError, match="at least one"):
            run.supervisor.paint_all([])
        engine.let_go.set()
        assert [len(job.result(PATIENCE_S)) for job in jobs[:1]] == [MOST_WAITING - 2]
        assert run.supervisor.paint(shots("later")[0]).result(PATIENCE_S)


def test_a_cancelled_job_is_not_painted_and_makes_room() -> None:
    engine = Held()
    with busy(engine) as run:
        jobs = [run.supervisor.paint(shot) for shot in numbered(MOST_WAITING - 1)]
        assert all(job.cancel() for job in jobs[1:])
        instead = run.supervisor.paint(shots("instead")[0])
        assert instead.cancel()  # after the last job that is dropped when one is added
        engine.let_go.set()
        assert jobs[0].result(PATIENCE_S)
        wait_until(lambda: run.supervisor.status.state is State.RESTING)
        with pytest.raises(CancelledError):
            instead.result(PATIENCE_S)
    assert [shot.prompt for shot in engine.shots] == ["held", "job 0"]


# -- failures ------------------------------------------------------------------------------------


def test_a_job_that_fails_fails_alone_and_opens_no_new_engine() -> None:
    def bad(shot: Shot) -> None:
        if shot.prompt == "bad":
            raise RuntimeError("a bad job")

    engine = ColourEngine(bad)
    with running(opens(engine)) as run, run.channel.watched():
        wait_until(lambda: run.meter.frames > 2)
        frames = collect(run.channel)
        for _ in range(FAILURES_BEFORE_REOPEN + 1):
            failed = run.supervisor.paint_all(shots("good", "bad", "good"))
            with pytest.raises(RuntimeError, match="a bad job"):
                failed.result(PATIENCE_S)
        assert run.supervisor.paint(shots("good")[0]).result(PATIENCE_S)
        wait_until(lambda: len(frames) > 5)
        assert run.supervisor.status.state is State.STREAMING
        assert not engine.closed
        assert run.meter.figures(0).failed_frames == 0


def test_jobs_that_succeed_do_not_hide_that_every_frame_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor_module, "FIRST_PAUSE_S", 0.01)
    engines: list[ColourEngine] = []

    def broken(shot: Shot) -> None:
        if shot.prompt == "words":
            raise RuntimeError("no frame")

    def open_engine(report: object) -> ColourEngine:
        engines.append(ColourEngine(broken))
        return engines[-1]

    with running(open_engine, fps=1000) as run:
        wait_until(lambda: run.supervisor.status.state is State.RESTING)
        jobs = [run.supervisor.paint(shot) for shot in numbered(MOST_WAITING)]
        with run.channel.watched():
            wait_until(lambda: len(engines) > 1)
        for job in jobs:  # those that were not painted have failed, and none hangs
            assert job.exception(PATIENCE_S) is None or isinstance(job.exception(), EngineClosed)


def test_without_an_engine_a_job_fails_with_the_reason() -> None:
    loading, go_on = threading.Event(), threading.Event()

    def open_engine(report: object) -> ColourEngine:
        loading.set()
        assert go_on.wait(PATIENCE_S)
        return ColourEngine()

    with running(open_engine) as run:
        assert loading.wait(PATIENCE_S)
        with pytest.raises(EngineUnavailable, match="No engine is open: The program is starting."):
            run.supervisor.paint(shots("a")[0]).result(PATIENCE_S)
        go_on.set()
        wait_until(lambda: run.supervisor.status.state is State.RESTING)
        assert run.supervisor.paint(shots("a")[0]).result(PATIENCE_S)
    with pytest.raises(EngineUnavailable, match="The program is stopping."):
        run.supervisor.paint(shots("a")[0]).result(PATIENCE_S)


def test_waiting_jobs_fail_when_the_program_stops_even_if_the_engine_hangs() -> None:
    engine = Held()
    with busy(engine) as run:
        waiting = run.supervisor.paint_all(shots("a", "b"))
        cancelled = run.supervisor.paint(shots("c")[0])
        cancelled.cancel()
        assert not run.supervisor.stop(timeout_s=0.01)
        with pytest.raises(EngineClosed, match="was closed before the picture was painted"):
            waiting.result(PATIENCE_S)
    assert [shot.prompt for shot in engine.shots] == ["held"]


def test_the_watchdog_sees_a_job_that_hangs() -> None:
    engine = Held()
    with busy(engine) as run:
        now = run.supervisor._health._awake()
        assert run.supervisor.overdue(now + 3600, frame_s=60, loading_s=0) is not None
        assert run.supervisor.overdue(now, frame_s=60, loading_s=0) is None


# -- what an engine can paint --------------------------------------------------------------------


def test_a_shot_is_checked_against_what_the_open_engine_declares() -> None:
    mix = Shot((("a", 0.5), ("b", 0.5)), ((1, 1.0),))
    supervisor = Supervisor([], opens(NoMixes()))
    assert supervisor.capabilities is None
    supervisor.check(mix)  # nothing is known yet
    with running(opens(NoMixes())) as run:
        wait_until(lambda: run.supervisor.capabilities is not None)
        with pytest.raises(ShotError, match="The shot mixes 2 prompts"):
            run.supervisor.check(mix)
        run.supervisor.check(shots("a")[0])
    with running(opens(ColourEngine())) as run:
        wait_until(lambda: run.supervisor.status.state is State.RESTING)
        assert run.supervisor.capabilities is None, "it declares nothing"
        run.supervisor.check(mix)
