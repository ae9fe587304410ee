"""A channel whose input picture and scene are unchanged rests, and wakes at each change."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from tests.engines import ColourEngine, NoMixes, opens
from tests.stream.clock import Clock
from tests.stream.running import Running, collect, running, schedule, wait_until
from turbostream.stream import scheduled_channel
from turbostream.stream.capabilities import Capabilities
from turbostream.stream.channel import Channel
from turbostream.stream.scene import Scene
from turbostream.stream.scheduler import UNCHANGED
from turbostream.stream.shot import EarlierFrame, InputPicture, Shot, ShotError
from turbostream.stream.state import State

ONE, OTHER = "1" * 64, "2" * 64
SCENE = replace(Scene.single("words", motion="hold"), source="picture")


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state changes sooner than at a show."""
    monkeypatch.setattr(scheduled_channel, "STILL_S", 0.2)


@contextmanager
def resting(
    engine: ColourEngine, scene: Scene = SCENE, clock: Clock | None = None
) -> Iterator[Running]:
    """One watched channel that was given a picture and has painted it."""
    scheduled = schedule(100.0, scene, clock)
    scheduled.channel.give_picture(ONE)
    with running(opens(engine), channels=[scheduled], watched=[scheduled], clock=clock) as run:
        wait_until(lambda: run.supervisor.status.state is State.RESTING)
        yield run


def test_an_unchanged_picture_is_painted_once_and_the_state_says_so() -> None:
    engine = ColourEngine()
    with resting(engine) as run:
        assert run.supervisor.status.message == UNCHANGED
        assert run.channel.last_number == 1
        time.sleep(0.3)
        assert [shot.source for shot in engine.shots] == [InputPicture(ONE)]
        assert run.supervisor.unhealthy() is None
        run.channel.give_picture(ONE)  # a camera that shows the same
        time.sleep(0.1)
        assert len(engine.shots) == 1


def test_it_stays_healthy_for_hours(clock: Clock) -> None:
    engine = ColourEngine()
    with resting(engine, clock=clock) as run:
        began = clock.now
        wait_until(lambda: clock.now > began + 60.0)
        assert run.supervisor.unhealthy() is None
        assert len(engine.shots) == 1


def test_another_picture_wakes_it() -> None:
    engine = ColourEngine()
    with resting(engine) as run:
        run.channel.give_picture(OTHER)
        wait_until(lambda: len(engine.shots) == 2)
        wait_until(lambda: run.supervisor.status.state is State.STREAMING)
        wait_until(lambda: run.supervisor.status.state is State.RESTING)
        run.channel.give_picture(None)
        wait_until(lambda: len(engine.shots) > 5)
    assert [shot.source for shot in engine.shots[:3]] == [
        InputPicture(ONE), InputPicture(OTHER), None,
    ]  # fmt: skip


@pytest.mark.parametrize("patch", [{"brightness": 0.5}, {"strength": 0.3}, {"speed": 2.0}])
def test_a_change_is_followed_by_a_frame_also_if_that_looks_the_same(
    patch: dict[str, float],
) -> None:
    engine = ColourEngine()
    with resting(engine) as run:
        frames = collect(run.channel)
        change = run.channel.change(patch)
        wait_until(lambda: frames and frames[-1].number > change.after)
        wait_until(lambda: run.supervisor.status.state is State.RESTING)
        assert len(engine.shots) == 2
    assert run.meter.figures(0.0).prompt_to_picture_ms.p50 is not None


def test_undo_and_a_recall_are_followed_by_a_frame() -> None:
    engine = ColourEngine()
    with resting(engine) as run:
        run.channel.change({"speed": 2.0})
        wait_until(lambda: len(engine.shots) == 2)
        run.channel.undo()
        wait_until(lambda: len(engine.shots) == 3)
        run.channel.recall(SCENE)
        wait_until(lambda: len(engine.shots) == 4)


def test_a_fade_is_painted_to_its_end() -> None:
    engine = ColourEngine()
    with resting(engine) as run:
        run.channel.change({"strength": 1.0, "brightness": 0.0, "fade_s": 0.5})
        wait_until(lambda: len(engine.shots) > 10)
        wait_until(lambda: run.supervisor.status.state is State.RESTING)
    assert (engine.shots[-1].strength, engine.shots[-1].brightness) == (1.0, 0.0)
    strengths = [shot.strength or 0.0 for shot in engine.shots]
    assert strengths == sorted(strengths)


@pytest.mark.parametrize(
    "patch",
    [
        {"motion": "walk"},
        {"motion": "fresh"},
        {"modulators": [{"parameter": "strength", "unit": "seconds", "period": 2}]},
        {"source": "feedback"},
        {"source": "none"},
    ],
)
def test_what_moves_by_itself_does_not_rest(patch: dict[str, object]) -> None:
    engine = ColourEngine()
    with resting(engine) as run:
        run.channel.change(patch)
        wait_until(lambda: run.supervisor.status.state is State.STREAMING)
        painted = len(engine.shots)
        time.sleep(0.4)
        assert run.supervisor.status.state is State.STREAMING
        assert len(engine.shots) > painted + 10


def test_feedback_starts_from_a_frame_that_was_published() -> None:
    engine = ColourEngine()
    channels = [schedule(100.0, replace(SCENE, source="feedback"))]
    frames = collect(channels[0].channel)
    with running(opens(engine), channels=channels, watched=channels):
        wait_until(lambda: len(frames) > 10)
    assert frames[0].shot.source is None
    for before, frame in itertools.pairwise(frames):
        assert isinstance(frame.shot.source, EarlierFrame)
        assert frame.shot.source.number == before.number


def test_each_new_viewer_gets_a_frame() -> None:
    engine = ColourEngine()
    with resting(engine) as run:
        after = run.channel.last_number
        with run.channel.watched():
            wait_until(lambda: run.channel.last_number > after)
        time.sleep(0.1)
        assert len(engine.shots) == 2


def test_a_frame_that_failed_is_painted_again() -> None:
    count = itertools.count()

    def fails_first(shot: Shot) -> None:
        if next(count) == 0:
            raise RuntimeError("once")

    engine = ColourEngine(fails_first)
    with resting(engine) as run:
        newest = run.channel.buffer.newest()
        assert newest is not None
        assert newest.number == 2
        assert len(engine.shots) == 2


def test_a_side_job_is_painted_meanwhile_and_wakes_nothing_else() -> None:
    engine = ColourEngine()
    with resting(engine) as run:
        assert run.supervisor.paint(Shot.single("beside", 1)).result(10).jpeg
        time.sleep(0.1)
        assert [shot.prompt for shot in engine.shots] == ["words", "beside"]
        assert run.supervisor.status.state is State.RESTING


def test_other_channels_go_on() -> None:
    engine = ColourEngine()
    still, moving = schedule(100.0, SCENE), schedule(100.0, "moving")
    still.channel.give_picture(ONE)
    channels = [still, moving]
    with running(opens(engine), channels=channels, watched=channels) as run:
        wait_until(lambda: still.rests(time.monotonic()))
        wait_until(lambda: moving.meter.frames > 30)
        assert run.supervisor.status.state is State.STREAMING
        assert run.supervisor.unhealthy() is None
    assert still.meter.frames == 1


def test_with_several_channels_all_must_rest() -> None:
    engine = ColourEngine()
    engine.max_batch = 2
    channels = [schedule(100.0, replace(SCENE, prompts=((name, 1.0),))) for name in "ab"]
    for scheduled in channels:
        scheduled.channel.give_picture(ONE)
    with running(opens(engine), channels=channels, watched=channels) as run:
        wait_until(lambda: run.supervisor.status.state is State.RESTING)
        channels[1].channel.give_picture(OTHER)
        wait_until(lambda: channels[1].meter.frames == 2)
        assert channels[0].meter.frames == 1


def test_nobody_watches_is_another_rest() -> None:
    engine = ColourEngine()
    scheduled = schedule(100.0, SCENE)
    scheduled.channel.give_picture(ONE)
    with running(opens(engine), channels=[scheduled]) as run:
        with ExitStack() as viewer:
            viewer.enter_context(run.channel.watched())
            wait_until(lambda: run.supervisor.status.message == UNCHANGED)
        wait_until(lambda: "Nobody watches" in run.supervisor.status.message)
        with run.channel.watched():
            wait_until(lambda: len(engine.shots) == 2)
            wait_until(lambda: run.supervisor.status.message == UNCHANGED)


# -- an engine without sources ---------------------------------------------------------------------


def test_an_engine_that_takes_no_source_paints_the_scene_without_it() -> None:
    engine = NoMixes()
    scheduled = schedule(100.0, SCENE)
    scheduled.channel.give_picture(ONE)
    with running(opens(engine), channels=[scheduled], watched=[scheduled]) as run:
        wait_until(lambda: len(engine.shots) > 3)
        check = run.supervisor.check
        with pytest.raises(ShotError, match=r"^The shot has a source, and this engine .*\.$"):
            run.channel.change({"source": "picture"}, check)
        with pytest.raises(ShotError, match=r"^The shot has a source, and this engine .*\.$"):
            run.channel.change({"source": "feedback", "prompt": "x"}, check)
        assert run.channel.change({"prompt": "other"}, check).scene.prompt == "other"
        assert run.channel.change({"source": "none"}, check).scene.source == "none"
    assert {shot.source for shot in engine.shots} == {None}


def test_a_source_is_checked_before_there_is_a_picture() -> None:
    channel = Channel("main", Scene.single("words"))
    for source in ("picture", "feedback"):
        with pytest.raises(ShotError, match="source"):
            channel.change({"source": source}, Capabilities().check)
        assert channel.change({"source": source}, Capabilities(sources=True).check)
