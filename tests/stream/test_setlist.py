"""The setlist: it does not drift, survives errors, and continues where it was."""

from __future__ import annotations

import json
import logging
import random
from typing import Any

import pytest

from tests.stream.running import wait_until
from turbostream.stream import setlist as module
from turbostream.stream.channel import Channel
from turbostream.stream.collection import Collection, LookInUse
from turbostream.stream.looks import Look
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import SceneError
from turbostream.stream.setlist import Entry, NoFurtherEntry, Playback, Setlist
from turbostream.stream.setlist_player import SetlistPlayer

THREE = Setlist((Entry("a", 3.0, 1.0), Entry("b", 0.7, 0.1), Entry("c", 10.0)), loop=True)
ONCE = Setlist(THREE.entries)
ROUND_S = 4.0 + 0.8 + 10.0
WEEK_S = 7 * 24 * 3600.0


def begun(setlist: Setlist, time: float = 0.0) -> Playback:
    return Playback().started(setlist, time)[0]


def test_a_week_of_late_wakes_does_not_drift() -> None:
    rng = random.Random(3)
    start = 1_000_000.25
    playback, count, now = begun(THREE, start), 0, start
    while now < start + WEEK_S:
        assert playback.due_at is not None
        now = playback.due_at + rng.random() * 0.09
        playback = playback.advanced(THREE, now)
        count += 1
    rounds, position = divmod(count, 3)
    exact = start + rounds * ROUND_S + sum(e.seconds for e in THREE.entries[: position + 1])
    assert playback.position == position
    assert playback.due_at == pytest.approx(exact, abs=1e-3)


@pytest.mark.parametrize("late_s", [0.0, 0.5, 13.0, 1000.1, WEEK_S])
def test_a_process_that_slept_shows_the_entry_that_is_due_now(late_s: float) -> None:
    slept = begun(THREE).advanced(THREE, 4.0 + late_s)
    awake = begun(THREE)
    while awake.due_at is not None and awake.due_at <= 4.0 + late_s:
        awake = awake.advanced(THREE, awake.due_at)
    assert slept.position == awake.position
    assert slept.due_at == pytest.approx(awake.due_at, abs=1e-3)
    assert slept.due_at > 4.0 + late_s


def test_it_ends_at_the_last_entry_and_begins_again_at_the_first() -> None:
    playback = begun(ONCE).advanced(ONCE, 4.8)
    assert (playback.position, playback.playing) == (2, True)
    playback = playback.advanced(ONCE, 999.0)
    assert playback == Playback(2, left_s=0.0)
    assert playback.started(ONCE, 1000.0) == (Playback(0, due_at=1004.0), True)


def test_a_pause_keeps_the_time_that_is_left_and_recalls_nothing_when_it_ends() -> None:
    paused = begun(THREE).paused(1.5)
    assert paused.left(99.0) == 2.5
    assert paused.advanced(THREE, 99.0) is paused
    assert paused.started(THREE, 99.0) == (Playback(0, due_at=101.5), False)


def test_stepping_shows_the_first_entry_first_and_stops_at_the_ends() -> None:
    playback = Playback().stepped(ONCE, 1, 0.0)
    assert (playback.position, playback.playing, playback.left(0)) == (0, False, 4.0)
    playback = playback.stepped(ONCE, 1, 0.0).stepped(ONCE, 1, 0.0)
    with pytest.raises(NoFurtherEntry, match="last entry"):
        playback.stepped(ONCE, 1, 0.0)
    with pytest.raises(NoFurtherEntry, match="first entry"):
        Playback(0, left_s=1.0).stepped(ONCE, -1, 0.0)
    assert playback.stepped(THREE, 1, 0.0).position == 0
    assert Playback(0, due_at=1.0).stepped(THREE, -1, 0.5) == Playback(2, due_at=10.5)
    with pytest.raises(NoFurtherEntry, match="empty"):
        Playback().stepped(Setlist(), 1, 0.0)


@pytest.mark.parametrize(
    "playback", [Playback(), Playback(1), Playback(2, left_s=0.3), Playback(1, due_at=107.5)]
)
def test_another_process_continues_with_the_time_that_is_left(playback: Playback) -> None:
    found = json.loads(json.dumps(playback.as_json(100.0)))
    again = Playback.from_json(found, 5000.0)
    assert (again.position, again.playing) == (playback.position, playback.playing)
    assert again.left(5000.0) == playback.left(100.0)


@pytest.mark.parametrize(
    "found",
    [None, [], {}, {"position": 1}, {"position": True, "playing": True, "left_s": 1},
     {"position": 0, "playing": 1, "left_s": 1}, {"position": 0, "playing": True, "left_s": None},
     {"position": 0, "playing": True, "left_s": float("nan")},
     {"position": 0, "playing": True, "left_s": 1e9}, {"position": -1, "playing": False}],
)  # fmt: skip
def test_an_invalid_position_is_refused(found: object) -> None:
    with pytest.raises(SceneError):
        Playback.from_json(found, 0.0)


def test_another_setlist_goes_on_at_the_same_look() -> None:
    playing = Playback(2, due_at=7.0)
    assert playing.within(Setlist((Entry("x", 1.0), *THREE.entries)), THREE).position == 3
    assert playing.within(Setlist(THREE.entries[:1]), THREE) == Playback(0, due_at=7.0)
    assert playing.within(Setlist(), THREE) == Playback()


BAD_ENTRIES: list[object] = [
    7, {}, [7], [{}], [{"hold_s": 1}], [{"look": "a", "colour": 1}], [{"look": "a/b"}],
    [{"look": "a", "hold_s": 0}], [{"look": "a", "hold_s": 86_401}], [{"look": "a", "hold_s": "1"}],
    [{"look": "a", "hold_s": True}], [{"look": "a", "hold_s": float("nan")}],
    [{"look": "a", "fade_s": -1}], [{"look": "a", "fade_s": 601}], [{"look": "a", "fade_s": None}],
    [{"look": "a"}] * 1001,
]  # fmt: skip


@pytest.mark.parametrize("entries", BAD_ENTRIES, ids=range(len(BAD_ENTRIES)))
def test_a_wrong_setlist_is_refused_with_a_sentence(entries: object) -> None:
    with pytest.raises(SceneError) as error:
        module.from_json({"entries": entries})
    assert str(error.value).endswith((".", "..}]."))


# -- the player ------------------------------------------------------------------------------------


class Stage:
    """A player over a channel, with looks a, b and c; only the test lets time pass."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.channel = Channel("main", Scene.single("first"), lambda: self.now)
        self.collection = Collection()
        self.player = SetlistPlayer(self.channel, self.collection)
        for name in "abc":
            self.collection.save(Look.of(name, Scene.single(f"look {name}"), 0.0))

    def put(self, setlist: Setlist) -> None:
        self.collection.put_setlist(setlist)

    def passes(self, seconds: float) -> str:
        """The words in force once `seconds` have passed."""
        self.now += seconds
        self.player._advance()
        return self.channel.scene.prompt

    def status(self) -> dict[str, Any]:
        found = self.player.status()
        assert found is not None
        return found


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_looks_are_recalled_when_they_are_due_with_their_fades(stage: Stage) -> None:
    stage.put(THREE)
    revision = stage.channel.revision
    stage.player.play()
    assert stage.channel.scene.prompt == "look a"
    assert stage.channel.scene.as_dict(stage.now)["fade"]["left_s"] == pytest.approx(1.0)
    assert stage.passes(3.9) == "look a"
    assert stage.status()["left_s"] == pytest.approx(0.1)
    assert stage.passes(0.1) == "look b"
    assert stage.passes(0.8) == "look c"
    assert stage.channel.scene.as_dict(stage.now)["fade"] is None
    assert stage.passes(10.0) == "look a"
    assert stage.status() == {"position": 0, "playing": True, "left_s": 4.0, "look": "a"}
    assert stage.channel.revision > revision


def test_words_typed_meanwhile_stay_until_the_next_entry(stage: Stage) -> None:
    stage.put(THREE)
    stage.player.play()
    stage.channel.change({"prompt": "typed"})
    assert stage.passes(3.9) == "typed"
    assert stage.passes(0.2) == "look b"


def test_a_look_that_is_missing_is_skipped_with_one_line(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.put(THREE)
    content = stage.collection.content  # as after a damaged file:
    stage.collection._content = content._replace(looks=content.looks.without("b"))
    stage.player.play()
    for _ in range(5):
        assert stage.passes(4.0) == "look a"
        assert stage.passes(0.8) == "look c"
        stage.passes(10.0)
    assert caplog.text.count("'b'") == 1


def test_a_look_that_is_played_can_be_renamed_and_not_deleted(stage: Stage) -> None:
    stage.put(THREE)
    with pytest.raises(LookInUse, match=r"setlist plays the look 'b'"):
        stage.collection.delete("b")
    stage.collection.rename("b", "dusk")
    stage.player.play()
    assert stage.passes(4.0) == "look b"
    assert stage.status()["look"] == "dusk"
    with pytest.raises(SceneError, match=r"'b', which does not exist"):
        stage.put(THREE)


def test_a_process_that_does_not_serve_recalls_nothing(stage: Stage) -> None:
    stage.put(THREE)
    stage.player.play()
    stage.player._owns = lambda: False
    assert stage.passes(4.0) == "look a"
    stage.player._owns = lambda: True
    assert stage.passes(0.0) == "look b"


def test_the_thread_plays_survives_errors_and_ends(caplog: pytest.LogCaptureFixture) -> None:
    channel, collection = Channel("main", Scene.single("first")), Collection()
    player = SetlistPlayer(channel, collection)
    for name in "ab":
        collection.save(Look.of(name, Scene.single(f"look {name}"), 0.0))
    collection.put_setlist(Setlist((Entry("a", 0.1), Entry("b", 0.1)), loop=True))
    recall, failures = channel.recall, iter((True, True))

    def fails_twice(*arguments: Any) -> Any:
        if next(failures, False):
            raise RuntimeError("a fault")
        return recall(*arguments)

    player.start(lambda: True)
    try:
        player.play()
        channel.recall = fails_twice  # type: ignore[method-assign]
        before = channel.history[0]
        wait_until(lambda: channel.history[0] >= before + 3)
        player.pause()
        assert player.as_json()["playing"] is False
    finally:
        player.stop(timeout_s=30.0)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 2
    assert not player._thread.is_alive()
