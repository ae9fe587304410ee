"""An even fade of words is measured once, beside the stream, and spaced while it is in progress."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

import pytest
from PIL import Image

from tests.engines import ColourEngine, opens
from tests.stream.running import PATIENCE_S, running, wait_until
from turbostream.stream import even_fade, scene_json
from turbostream.stream.channel import Channel
from turbostream.stream.engine_api import EngineUnavailable, Picture
from turbostream.stream.even_fade import PROBES, EvenFades, distance, probe, small
from turbostream.stream.fade import Fade
from turbostream.stream.scene import Scene
from turbostream.stream.shot import Shot

EVEN = {"prompt": "white", "fade_s": 8, "easing": "even"}


def grey(shot: Shot) -> int:
    """A picture that jumps in the middle of a fade from `black`."""
    share = 1 - dict(shot.prompts).get("black", 0.0)
    return round(255 * min(1.0, max(0.0, (share - 0.4) * 5)))


class Painter:
    """Paints grey pictures at once, or as `answer` does."""

    def __init__(self) -> None:
        self.shots: list[Shot] = []
        self.answer: Callable[[Future[list[Picture]], list[Picture]], object] = Future.set_result

    def paint_all(self, shots: Sequence[Shot]) -> Future[list[Picture]]:
        self.shots += shots
        done: Future[list[Picture]] = Future()
        self.answer(done, [Picture(jpeg(grey(shot)), {}) for shot in shots])
        return done


def jpeg(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (256, 256), (level, level, level)).save(file, "JPEG", quality=95)
    return file.getvalue()


class Time:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(even_fade, "PAUSE_S", 0.0)


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def channel(clock: Time) -> Channel:
    return Channel("main", Scene.single("black", seed=7), clock)


@pytest.fixture
def painter() -> Painter:
    return Painter()


@pytest.fixture
def fades(channel: Channel, painter: Painter) -> Iterator[EvenFades]:
    fades = EvenFades(channel, painter.paint_all)
    fades.start()
    yield fades
    fades.stop()
    fades.join(PATIENCE_S)


def spacing(channel: Channel) -> object:
    words = channel.scene.words_from
    return words and words.fade.spacing


@pytest.mark.usefixtures("fades")
def test_an_even_fade_of_words_spends_its_time_where_the_picture_changes(
    channel: Channel, painter: Painter
) -> None:
    change = channel.change(EVEN)
    wait_until(lambda: spacing(channel))
    assert len(painter.shots) == PROBES
    assert (channel.last_change.at, channel.revision) == (change.at, 1), "no change of its own"
    scene = channel.scene
    levels = [grey(scene.shot_at(100 + number / 10, 1)) for number in range(81)]
    steps = [after - before for before, after in zip(levels, levels[1:], strict=False)]
    assert (levels[0], levels[-1]) == (0, 255)
    assert max(steps) < 15 < 255 / 16  # a linear fade changes by 16 at once


@pytest.mark.usefixtures("fades")
@pytest.mark.parametrize(
    "change", [{**EVEN, "easing": "smooth"}, {**EVEN, "fade_s": 0}, {**EVEN, "fade_s": 0.5}]
)
def test_other_fades_cost_no_probes(
    channel: Channel, painter: Painter, change: dict[str, object]
) -> None:
    channel.change(change)
    channel.change({"speed": 2, "fade_s": 8, "easing": "even"})
    assert spacing(channel) in (None, ())
    channel.change({"prompt": "black", "fade_s": 0})
    channel.change(EVEN | {"prompt": "grey"})  # only this one is measured
    wait_until(lambda: spacing(channel))
    assert {text for shot in painter.shots for text, _ in shot.prompts} == {"black", "grey"}
    assert len(painter.shots) == PROBES


def test_the_position_stays_where_it_is_when_the_spacing_arrives(
    channel: Channel, clock: Time, painter: Painter, fades: EvenFades
) -> None:
    def answer(done: Future[list[Picture]], pictures: list[Picture]) -> None:
        clock.now = 101.0  # an eighth of the fade has passed
        done.set_result(pictures)

    painter.answer = answer
    channel.change(EVEN)
    wait_until(lambda: spacing(channel))
    fade = channel.scene.words_from
    assert fade is not None
    for at in (100.0, 100.5, 101.0):
        assert fade.fade.position(at) == pytest.approx((at - 100) / 8)
    assert fade.fade.position(108.0) == 1.0


@pytest.mark.usefixtures("fades")
def test_a_fade_that_was_replaced_meanwhile_gets_no_spacing_and_the_next_one_does(
    channel: Channel, painter: Painter
) -> None:
    replaced: list[str] = []

    def answer(done: Future[list[Picture]], pictures: list[Picture]) -> None:
        if not replaced:
            replaced.append("black")
            channel.change({"prompt": "grey", "fade_s": 8, "easing": "even"})
        done.set_result(pictures)

    painter.answer = answer
    channel.change(EVEN)
    wait_until(lambda: spacing(channel))
    assert channel.scene.prompt == "grey"
    assert len(painter.shots) == PROBES + 5, "the first fade was given up after its first probes"


@pytest.mark.usefixtures("fades")
def test_a_moved_slider_neither_ends_nor_repeats_the_measurement(
    channel: Channel, painter: Painter
) -> None:
    channel.change(EVEN)
    for number in range(50):
        channel.change({"speed": number / 20, "fade_s": 0})
    wait_until(lambda: spacing(channel))
    found = spacing(channel)
    for number in range(50):
        channel.change({"brightness": number / 50})
    assert spacing(channel) == found
    assert len(painter.shots) == PROBES


def test_fades_that_are_replaced_at_once_cost_no_probes(
    channel: Channel, painter: Painter, fades: EvenFades, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(even_fade, "PAUSE_S", 0.05)
    looked: list[object] = []
    in_force = fades._in_force

    def look() -> object:
        looked.append(None)
        # The fade is replaced whenever the thread looks at it.
        channel.change(EVEN | {"prompt": f"white {len(looked)}"})
        return in_force()

    monkeypatch.setattr(fades, "_in_force", look)
    channel.change(EVEN)
    wait_until(lambda: len(looked) > 6)
    assert painter.shots == []


@pytest.mark.usefixtures("fades")
def test_failed_probes_leave_the_fade_linear_with_one_line(
    channel: Channel, painter: Painter, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(done: Future[list[Picture]], pictures: list[Picture]) -> None:
        done.set_exception(EngineUnavailable("No engine is open."))

    painter.answer = fail
    with caplog.at_level(logging.WARNING):
        channel.change(EVEN)
        wait_until(lambda: caplog.records)
        channel.change({"speed": 1.0, "fade_s": 0})
        painter.answer = Future.set_result
        channel.change(EVEN | {"prompt": "grey"})
        wait_until(lambda: spacing(channel))
    assert len(caplog.records) == 1
    assert "stays linear" in caplog.text
    assert "No engine is open." in caplog.text


def test_probes_keep_the_noise_and_the_brightness_of_the_beginning() -> None:
    scene = Scene.single("black", seed=7, speed=1.0).changed(0.0, {"brightness": 0.5})
    scene = scene.changed(3.25, EVEN)
    shots = [probe(scene, position) for position in (0.0, 0.25, 1.0)]
    assert {shot.noise for shot in shots} == {scene.shot_at(3.25, 1).noise}
    assert {shot.brightness for shot in shots} == {1.0}
    assert [dict(shot.prompts) for shot in shots] == [
        {"black": 1.0}, {"black": 0.75, "white": 0.25}, {"white": 1.0},
    ]  # fmt: skip
    assert shots == [probe(scene, position) for position in (0.0, 0.25, 1.0)]


def test_a_fade_has_the_same_shots_after_its_json_form() -> None:
    scene = Scene.single("black", "hold").changed(0.0, EVEN)
    scene = scene.with_spacing(((0.0, 0.0), (0.5, 0.1), (1.0, 1.0)))
    again = scene_json.from_json(scene_json.to_json(scene, 2.0), 2.0)
    assert [again.shot_at(at, 1) for at in (2.0, 5.0)] == [
        scene.shot_at(at, 1) for at in (2.0, 5.0)
    ]


def test_the_distance_of_two_pictures_is_their_mean_difference() -> None:
    dark, light = small(jpeg(40)), small(jpeg(100))
    assert dark.size == (128, 128)
    assert distance(dark, light) == pytest.approx(60, abs=1)
    assert distance(dark, dark) == 0


def test_a_fade_is_linear_until_it_is_spaced() -> None:
    assert Fade(0.0, 8.0, "even").position(2.0) == 0.25


def test_the_supervisor_spaces_the_fades_of_its_channels_also_while_nobody_watches() -> None:
    with running(opens(ColourEngine())) as run:
        wait_until(lambda: run.supervisor.status.state == "resting")
        run.channel.change(EVEN)
        wait_until(lambda: spacing(run.channel))
        assert run.channel.last_number == 0
