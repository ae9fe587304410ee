"""A channel knows exactly which frames show the new words, and whether anybody watches."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from turbostream.stream.channel import MOST_UNSHOWN, Channel
from turbostream.stream.fade import EASINGS
from turbostream.stream.frame import Frame
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import SceneError
from turbostream.stream.shot import EarlierFrame, InputPicture, Shot
from turbostream.stream.source_given import Given


@pytest.fixture
def channel() -> Channel:
    return Channel("main", Scene.single("old words"))


def test_every_frame_after_a_change_shows_it_and_none_before(channel: Channel) -> None:
    before = [channel.take_shot() for _ in range(3)]
    change = channel.change({"prompt": "new words"})
    after = [channel.take_shot() for _ in range(3)]
    assert {shot.prompt for number, shot, _ in before if number <= change.after} == {"old words"}
    assert {shot.prompt for number, shot, _ in after if number > change.after} == {"new words"}


def test_numbers_rise_by_one_from_one(channel: Channel) -> None:
    assert [channel.take_shot()[0] for _ in range(3)] == [1, 2, 3]


def test_a_refused_change_leaves_the_scene(channel: Channel) -> None:
    with pytest.raises(SceneError):
        channel.change({"prompt": "new words", "speed": -1})
    assert channel.scene.prompt == "old words"


def test_the_walk_begins_at_the_seed_when_the_channel_begins() -> None:
    channel = Channel("main", Scene.single("words", seed=5), lambda: 1_000_000.25)
    shot = channel.take_shot()[1]
    assert shot.noise == ((5, 1.0),)


def test_changes_within_one_frame_share_the_next_and_the_first_waited_longest() -> None:
    times = iter([0.0, 1.0, 1.2, 1.4, 2.0, 3.0])
    channel = Channel("main", Scene.single("words"), lambda: next(times))
    first = channel.change({"prompt": "one"})
    channel.change({"prompt": "two"})
    last = channel.change({"prompt": "three"})
    number, shot, _ = channel.take_shot()
    assert shot.prompt == "three"
    assert (first.at, first.after, last.after) == (1.0, 0, 0)
    assert channel.first_shown_by(number) is first
    assert channel.first_shown_by(number) is None, "each counts once"


def test_however_many_changes_share_a_frame_the_first_is_not_forgotten(channel: Channel) -> None:
    first = channel.change({"prompt": "first"})
    for count in range(10 * MOST_UNSHOWN):  # as while nobody watches
        channel.change({"prompt": f"words {count}"})
    assert channel.first_shown_by(channel.take_shot()[0]) is first


def test_a_change_is_not_shown_by_a_frame_that_was_in_flight(channel: Channel) -> None:
    in_flight, *_ = channel.take_shot()
    change = channel.change({"prompt": "new words"})
    number, *_ = channel.take_shot()
    later = channel.change({"prompt": "newer words"})
    assert channel.first_shown_by(in_flight) is None
    assert channel.first_shown_by(number) is change
    assert channel.first_shown_by(channel.take_shot()[0]) is later


def test_a_change_whose_frame_failed_waits_for_the_next(channel: Channel) -> None:
    change = channel.change({"prompt": "new words"})
    channel.take_shot()  # fails, and is never shown
    channel.change({"prompt": "newer words"})
    assert channel.first_shown_by(channel.take_shot()[0]) is change


def test_changes_that_no_frame_shows_are_kept_in_limited_number(channel: Channel) -> None:
    for count in range(10 * MOST_UNSHOWN):
        channel.change({"prompt": f"words {count}"})
        channel.take_shot()
    assert len(channel._unshown) == MOST_UNSHOWN


def test_frames_are_wanted_exactly_while_somebody_watches(channel: Channel) -> None:
    assert not channel.wanted
    with channel.watched():
        with channel.watched():
            assert channel.watchers == 2
        assert channel.wanted
    assert channel.watchers == 0
    assert not channel.wanted


def test_each_viewer_is_announced_once_it_watches(channel: Channel) -> None:
    announced: list[bool] = []
    channel.listen_demand(lambda: announced.append(channel.wanted))
    for _ in range(2):
        with channel.watched(), channel.watched():
            pass
    assert announced == [True] * 4


@pytest.mark.parametrize("motion", ["walk", "fresh"])
def test_a_shot_that_does_not_fit_uses_no_number(motion: str) -> None:
    channel = Channel("main", Scene.single("words", motion=motion), lambda: 5.0)
    offered: list[Shot] = []
    assert channel.take_shot_if(lambda shot: bool(offered.append(shot))) is None
    assert channel.last_number == 0
    assert channel.take_shot_if(lambda shot: True) == (1, offered[0], 5.0)
    assert channel.take_shot()[0] == 2


def test_the_same_words_again_are_no_change() -> None:
    channel = Channel("main", Scene.single("words"))
    channel.take_shot()
    assert channel.change({"prompt": "words"}) is channel.last_change
    assert channel.last_change.after == 0
    assert channel.change({"prompt": "other words"}).after == 1


CONTROLS: list[Callable[[int], dict[str, object]]] = [
    lambda count: {"speed": count % 40 / 10},
    lambda count: {
        "prompts": [{"text": "words", "weight": 1 + count % 7}, {"text": "other", "weight": 2}]
    },
    lambda count: {"prompt": f"words {count}"},
    lambda count: {"brightness": count % 11 / 10},
    lambda count: {"seed": count},
]


@pytest.mark.parametrize("easing", EASINGS)
@pytest.mark.parametrize("fade_s", [0, 8])
@pytest.mark.parametrize("controls", [[one] for one in CONTROLS] + [CONTROLS])
def test_a_change_costs_no_frame_whatever_changes_and_however_it_fades(
    controls: list[Callable[[int], dict[str, object]]], fade_s: float, easing: str
) -> None:
    """Ten changes for each of 60 frames: every frame gets its number and shows the last change."""
    time = 0.0
    channel = Channel("main", Scene.single("first words"), lambda: time)
    for frame in range(1, 61):
        for count in range(10):
            time += 1 / 300
            patch = controls[count % len(controls)](10 * frame + count)
            channel.change({**patch, "fade_s": fade_s, "easing": easing})
        scene = channel.scene
        assert channel.last_change.after == frame - 1
        assert channel.take_shot() == (frame, scene.shot_at(time, frame), time)
        assert len(scene.shot_at(time, frame).prompts) <= 16
    change = channel.first_shown_by(1)
    assert change is not None
    assert change.after == 0, "of the changes that frame 1 is the first to show, the earliest"
    assert change.at < 3 / 300  # the first that changed anything


def test_each_scene_that_comes_into_force_is_told_with_its_time(channel: Channel) -> None:
    told: list[tuple[Scene, float]] = []
    channel.listen_scenes(lambda scene, time: told.append((scene, time)))
    first = channel.change({"prompt": "changed"})
    channel.change({"prompt": "changed"})  # nothing new
    channel.recall(Scene.single("recalled"))
    channel.undo()
    channel.redo()
    channel.adjust(lambda scene, now: replace(scene, width=64))
    channel.resume(lambda now: Scene.single("resumed", anchored_at=now))
    with pytest.raises(SceneError):
        channel.change({"prompt": "refused", "speed": -1})
    prompts = [scene.prompt for scene, _ in told]
    assert prompts == ["changed", "recalled", "changed", "recalled", "recalled", "resumed"]
    assert told[0] == (first.scene, first.at)
    assert told[4][0].width == 64
    assert [time for _, time in told] == sorted(time for _, time in told)


def test_a_shot_taken_after_a_scene_was_told_is_of_that_scene_at_its_time(channel: Channel) -> None:
    told: list[Scene] = []
    channel.listen_scenes(lambda scene, time: told.append(scene))
    channel.change({"prompt": "new words", "fade_s": 5})
    number, shot, taken = channel.take_shot()
    assert shot == told[-1].shot_at(taken, number)


# -- sources ---------------------------------------------------------------------------------------


def frame(number: int, taken: float) -> Frame:
    return Frame(number, b"jpeg", Shot.single("words", 1), 0.0, {}, "", taken=taken)


def test_shots_start_from_what_was_given_last() -> None:
    channel = Channel("main", Scene.single("words", motion="hold"), lambda: 8.0)
    heard: list[Given] = []
    channel.listen_given(lambda: heard.append(channel.given))
    channel.give_picture("a" * 64)
    assert channel.take_shot().shot.source is None
    channel.change({"source": "picture", "strength": 0.25})
    shot = channel.take_shot().shot
    assert (shot.source, shot.strength) == (InputPicture("a" * 64), 0.25)
    channel.give_picture("b" * 64)
    assert channel.take_shot().shot.source == InputPicture("b" * 64)
    channel.give_picture(None)
    assert channel.take_shot().shot.source is None
    assert [given.picture for given in heard] == ["a" * 64, "b" * 64, None]


def test_feedback_starts_from_the_newest_frame_that_was_published() -> None:
    now = 5.0
    scene = Scene.single("words", motion="hold")
    channel = Channel("main", scene, lambda: now)
    channel.change({"source": "feedback", "zoom": 4.0})
    assert channel.take_shot().shot.source is None
    channel.buffer.publish(frame(1, taken=5.0))
    channel.give_picture("a" * 64)  # forgets no frame
    now = 5.5
    assert channel.take_shot().shot.source == EarlierFrame(1, zoom=2.0)
    channel.buffer.publish(frame(3, taken=5.25))
    channel.buffer.publish(frame(2, taken=5.2))  # too late
    assert channel.take_shot().shot.source == EarlierFrame(3, zoom=4.0**0.25)
    assert channel.given == Given("a" * 64, (3, 5.25))


def test_pictures_and_frames_that_arrive_together_are_both_noted(channel: Channel) -> None:
    def give() -> None:
        for number in range(500):
            channel.give_picture(f"{number:064x}")

    giving = threading.Thread(target=give)
    giving.start()
    for number in range(1, 501):
        channel.buffer.publish(frame(number, taken=float(number)))
    giving.join()
    assert channel.given == Given(f"{499:064x}", (500, 500.0))


def test_the_same_source_again_is_no_change_and_each_field_of_it_is_one(channel: Channel) -> None:
    for patch in (
        {"source": "feedback"}, {"strength": 0.5}, {"zoom": 1.5}, {"rotation": 1.0},
        {"shift_x": 0.1}, {"shift_y": -0.1},
    ):  # fmt: skip
        change = channel.change(patch)
        assert channel.change(patch) is change
        assert channel.revision > 0
    assert channel.revision == 6
    channel.undo()
    assert (channel.scene.shift_y, channel.scene.shift_x) == (0.0, 0.1)
    for _ in range(5):
        channel.undo()
    assert (channel.scene.source, channel.scene.strength) == ("none", 0.6)
