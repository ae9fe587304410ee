"""Recalls that wait for a beat or a bar."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from tests.stream.running import PATIENCE_S, wait_until
from turbostream.settings import Settings
from turbostream.stream.channel import Change, Channel
from turbostream.stream.quantiser import Quantiser
from turbostream.stream.repertoire import Repertoire
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import SceneError
from turbostream.stream.scene_file import SceneFile, file_for

START = 1000.0


class Stage:
    """A channel at 120 bpm at a time that the test sets, at beat 0 in 4/4; no thread runs."""

    def __init__(self) -> None:
        self.now = START
        self.channel = Channel("main", Scene.single("first"), lambda: self.now)
        self.quantiser = Quantiser(self.channel)

    def at(self, beat: float) -> Stage:
        """beat: of the tempo at the start."""
        self.now = START + beat / 2
        return self

    def quantise(self, value: str) -> None:
        self.channel.change({"quantise": value})

    def recall(self, words: str) -> Change | float:
        return self.quantiser.recall(Scene.single(words))

    @property
    def shown(self) -> str:
        """What the next frame shows."""
        return self.channel.take_shot()[1].prompt


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_without_quantising_a_recall_is_in_force_at_once(stage: Stage) -> None:
    change = stage.at(0.3).recall("a")
    assert isinstance(change, Change)
    assert change is stage.channel.last_change
    assert stage.shown == "a"


@pytest.mark.parametrize(("quantise", "beat"), [("beat", 6), ("bar", 8)])
def test_the_first_frame_after_the_beat_shows_the_look(
    stage: Stage, quantise: str, beat: int
) -> None:
    stage.quantise(quantise)
    assert stage.at(5.3).recall("a") == pytest.approx((beat - 5.3) / 2)
    assert stage.at(beat - 0.001).shown == "first"
    assert stage.at(beat).shown == "a"
    assert stage.channel.history[0] == 1


def test_on_the_beat_itself_nothing_waits(stage: Stage) -> None:
    stage.quantise("bar")
    assert isinstance(stage.at(8).recall("a"), Change)


def test_the_newest_recall_replaces_the_one_that_waits(stage: Stage) -> None:
    stage.quantise("bar")
    for beat, words in ((5.0, "a"), (6.0, "b"), (7.0, "c")):
        stage.at(beat).recall(words)
    assert stage.at(8.0).shown == "c"
    assert stage.at(12.5).shown == "c"
    assert stage.channel.history[0] == 1


def test_a_recall_at_once_replaces_it_too(stage: Stage) -> None:
    stage.quantise("bar")
    stage.at(5.0).recall("a")
    stage.quantise("off")
    stage.at(5.5).recall("b")
    assert stage.at(8.5).shown == "b"


def test_another_tempo_moves_the_beat(stage: Stage) -> None:
    stage.quantise("bar")
    stage.at(4.5).recall("a")
    stage.at(6.0)
    stage.channel.change({"bpm": 60})  # a second a beat: the bar is at beat 10 of the old tempo
    assert stage.at(9.9).shown == "first"
    assert stage.at(10.0).shown == "a"


def test_a_beat_that_came_before_the_tempo_changed_is_not_missed(stage: Stage) -> None:
    stage.quantise("beat")
    stage.at(5.5).recall("a")
    stage.at(6.01).channel.change({"beat": 0, "bpm": 60})
    assert stage.at(6.02).shown == "a"


@pytest.mark.parametrize(("beat", "shown"), [(8.01, "a"), (7.9, "first"), (100.5, "first")])
def test_a_grid_that_is_aligned_while_it_waits(stage: Stage, beat: float, shown: str) -> None:
    """A correction that skips the beat does not miss it; after a jump it is another bar."""
    stage.quantise("bar")
    stage.at(5.5).recall("a")
    stage.at(7.95).channel.change({"beat": beat})
    assert stage.at(7.96).shown == shown
    assert stage.at(7.95 + 4).shown == "a"


def test_shorter_bars_or_no_quantising_end_the_wait_sooner(stage: Stage) -> None:
    stage.quantise("bar")
    stage.at(4.5).recall("a")
    stage.channel.change({"beats_per_bar": 3})
    assert stage.at(5.99).shown == "first"
    assert stage.at(6.0).shown == "a"
    stage.at(6.5).recall("b")
    stage.quantise("off")
    assert stage.shown == "b"


def test_a_wrong_fade_is_refused_at_once_and_leaves_the_one_that_waits(stage: Stage) -> None:
    stage.quantise("bar")
    stage.at(5.0).recall("a")
    for fade_s, easing in ((-1, None), (None, "bouncy"), ("2", None)):
        with pytest.raises(SceneError):
            stage.quantiser.recall(Scene.single("b"), fade_s, easing)  # type: ignore[arg-type]
    assert stage.at(8.0).shown == "a"


def test_its_fade_begins_on_the_beat(stage: Stage) -> None:
    stage.quantise("beat")
    stage.at(5.5)
    stage.quantiser.recall(Scene.single("a"), 2.0, "linear")
    assert stage.at(6.0).shown == "first"
    assert stage.at(8.0).channel.take_shot()[1].prompts == (("first", 0.5), ("a", 0.5))


# -- the thread ------------------------------------------------------------------------------------


def test_the_thread_recalls_without_a_viewer_and_ends() -> None:
    channel = Channel("main", Scene.single("first"))
    changed = threading.Event()
    quantiser = Quantiser(channel)
    quantiser.start()
    try:
        channel.change({"quantise": "beat", "bpm": 300})
        channel.listen(changed.set)
        for words in ("a", "b"):
            changed.clear()
            before = time.monotonic()
            found = quantiser.recall(Scene.single(words))
            assert changed.wait(PATIENCE_S)
            change = channel.last_change
            assert change.scene.prompt == words
            if isinstance(found, float):
                assert 0 < found <= 0.2
                assert change.at >= before + found - 1e-6, "not before the beat"
    finally:
        quantiser.stop(PATIENCE_S)
    assert not quantiser._thread.is_alive()


def test_the_thread_follows_a_tempo_that_rises() -> None:
    channel = Channel("main", Scene.single("first"))
    channel.change({"quantise": "bar", "bpm": 20, "beats_per_bar": 16, "beat": 1})  # 45 s
    quantiser = Quantiser(channel)
    quantiser.start()
    try:
        assert isinstance(quantiser.recall(Scene.single("a")), float)
        channel.change({"beat": 15.99})
        wait_until(lambda: channel.scene.prompt == "a", 10.0)
    finally:
        quantiser.stop(PATIENCE_S)


def test_a_recall_that_waits_is_put_in_force_at_the_end_and_kept(tmp_path: Path) -> None:
    initial = Scene.single("first")
    for ends in ("handover", "shutdown"):
        channel = Channel("main", initial)
        settings = Settings(
            target_fps=30, initial_prompt="first", model_id="demo", server_port=0,
            state_dir=tmp_path,
        )  # fmt: skip
        repertoire = Repertoire(settings, channel)
        file = file_for(tmp_path, 8000)
        assert file is not None
        keeper = SceneFile(file, channel, initial, repertoire)
        keeper.start(lambda: True)
        try:
            channel.change({"quantise": "bar", "bpm": 20, "beats_per_bar": 16, "beat": 1})
            assert isinstance(repertoire.quantiser.recall(Scene.single(ends)), float)
            if ends == "handover":
                assert keeper.left()["prompt"] == ends
        finally:
            keeper.stop(PATIENCE_S)
        assert channel.scene.prompt == ends
        kept = json.loads(file.read_text())
        assert (kept["prompt"], kept["quantise"], kept["bpm"]) == (ends, "bar", 20)
