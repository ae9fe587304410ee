"""Pictures that browsers and requests give: the newest wins, and nothing piles up."""

from __future__ import annotations

import io
import threading
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from tests.sources.conftest import SIZE, Room
from tests.sources.files import BLUE, GREEN, RED, jpeg, near, quarters, saved
from tests.stream.running import wait_until
from turbostream.sources import picture
from turbostream.sources.store import LEAST, MOST, MOST_BYTES, Store, digest
from turbostream.stream.shot import InputPicture, ShotError
from turbostream.stream.source_status import SourceError

ABSENT = InputPicture("0" * 64)


def test_an_offered_picture_becomes_the_source(room: Room) -> None:
    room.sources.offer(jpeg(RED, (640, 480)), "browser")
    room.wait_for(RED)
    pixels = room.pixels()
    assert pixels.shape == (SIZE[1], SIZE[0], 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert not pixels.flags.writeable
    assert room.channel.given == [digest(pixels)]
    status = room.sources.status()
    assert (status["from"], status["size"], status["message"]) == ("browser", [640, 480], "")
    assert (status["received"], status["used"]) == (1, 1)
    assert status["age_s"] is not None
    assert 0 <= status["age_s"] < 60


def test_the_digest_is_of_the_size_and_the_pixels() -> None:
    pixels = np.zeros((2, 3, 3), np.uint8)
    import hashlib

    assert digest(pixels) == hashlib.sha256(b"3x2\n" + bytes(18)).hexdigest()
    assert digest(np.zeros((3, 2, 3), np.uint8)) != digest(pixels)


def test_a_put_picture_is_there_when_put_returns(room: Room) -> None:
    image = Image.new("RGB", (128, 48), GREEN)
    image.paste(RED, (0, 0, 64, 48))
    name = room.sources.put(saved(image, "PNG"), "contain", True, 5.0)
    assert room.channel.given == [name]
    pixels = room.pixels()
    assert (pixels[:10] == 0).all()
    assert near(pixels[24, 4], GREEN)  # mirrored
    assert near(pixels[24, 60], RED)
    assert room.sources.status()["from"] == "request"


def test_a_wrong_picture_is_refused_and_the_last_one_stays(room: Room) -> None:
    room.sources.put(jpeg(RED), "cover", False, 5.0)
    with pytest.raises(SourceError, match="This is text"):
        room.sources.put(b"words", "cover", False, 5.0)
    room.sources.offer(b"<svg/>", "browser")
    message = room.wait_for_message("SVG")
    assert message.endswith(".")
    room.sources.offer(bytes(picture.MOST_BYTES + 1), "browser")
    assert "32,000,000" in room.sources.status()["message"]
    status = room.sources.status()
    assert (status["received"], status["used"], status["refused"]) == (4, 1, 3)
    assert len(room.channel.given) == 1
    room.sources.offer(jpeg(BLUE), "browser")
    room.wait_for(BLUE)
    assert room.sources.status()["message"] == ""


def test_an_equal_picture_is_not_given_again(room: Room) -> None:
    for _ in range(3):
        room.sources.put(jpeg(RED), "cover", False, 5.0)
    assert len(room.channel.given) == 1
    room.sources.put(jpeg((206, 30, 30)), "cover", False, 5.0)
    assert len(room.channel.given) == 2


def test_a_threshold_leaves_out_small_differences(make_room: Callable[..., Room]) -> None:
    room = make_room(source_threshold=5.0).start()
    for level in (100, 103, 97, 104):
        room.sources.put(saved(Image.new("RGB", SIZE, (level,) * 3), "PNG"), "cover", False, 5.0)
    assert len(room.channel.given) == 1
    room.sources.put(saved(Image.new("RGB", SIZE, (105,) * 3), "PNG"), "cover", False, 5.0)
    assert len(room.channel.given) == 2


def test_clear_forgets_the_picture_but_not_what_is_in_flight(room: Room) -> None:
    name = room.sources.put(jpeg(RED), "cover", False, 5.0)
    room.sources.clear()
    assert room.channel.given == [name, None]
    assert room.sources.picture() is None
    status = room.sources.status()
    assert (status["from"], status["size"], status["age_s"]) == ("", None, None)
    assert near(room.sources.resolve(InputPicture(name), *SIZE)[0, 0], RED)
    room.sources.put(jpeg(RED), "cover", False, 5.0)
    assert room.channel.given == [name, None, name]


def held_back(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Decoding waits from now on: (set while it does, to be set so that it goes on)."""
    decoding, go_on = threading.Event(), threading.Event()
    real = picture.decode

    def slow(data: bytes, side: int) -> picture.Original:
        decoding.set()
        assert go_on.wait(30)
        return real(data, side)

    monkeypatch.setattr(picture, "decode", slow)
    return decoding, go_on


def test_a_picture_that_is_cleared_while_it_is_decoded_does_not_come_back(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoding, go_on = held_back(monkeypatch)
    room.sources.offer(jpeg(RED), "browser")
    assert decoding.wait(30)
    room.sources.clear()
    go_on.set()
    room.settle()
    assert room.channel.given == [None]
    assert room.sources.status()["dropped"] == 1


def test_put_gives_up_while_another_picture_takes_too_long(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoding, go_on = held_back(monkeypatch)
    room.sources.offer(jpeg(RED), "browser")
    assert decoding.wait(30)
    with pytest.raises(SourceError, match="send it again"):
        room.sources.put(jpeg(BLUE), "cover", False, 0.1)
    go_on.set()
    room.wait_for(RED)


def test_a_picture_of_source_does_not_replace_the_one_that_was_being_decoded(
    make_room: Callable[..., Room], monkeypatch: pytest.MonkeyPatch
) -> None:
    room = make_room(target_fps=1000).start()
    intake = room.sources._intake
    real = picture.decode
    decoding, go_on = held_back(monkeypatch)
    given = (jpeg(RED), "cover", False, 30.0)
    putting = threading.Thread(target=room.sources.put, args=given)
    putting.start()
    assert decoding.wait(30)
    assert intake.offer_own(real(jpeg(BLUE)), "a video")  # nothing else is known yet
    go_on.set()
    putting.join(30)
    room.settle()
    assert room.sources.status()["from"] == "request"
    assert room.shows(RED)
    assert not intake.offer_own(jpeg(BLUE), "a video")


def test_why_source_gives_nothing_is_not_said_beside_somebodys_picture(room: Room) -> None:
    intake = room.sources._intake
    intake.say("The camera does not answer.")
    assert room.sources.status()["message"] == "The camera does not answer."
    room.sources.put(jpeg(RED), "cover", False, 5.0)
    intake.say("The camera does not answer.")
    assert room.sources.status()["message"] == ""


def test_an_error_of_the_program_is_told_and_the_next_picture_is_taken(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(picture, "staged", lambda *given, **named: 1 / 0)
        room.sources.offer(jpeg(RED), "browser")
        room.wait_for_message("error of the program")
    room.sources.offer(jpeg(BLUE), "browser")
    room.wait_for(BLUE)


def test_a_put_that_fails_by_an_error_of_the_program_is_counted_too(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A controller waits until as many pictures were dealt with as came."""
    with monkeypatch.context() as patch:
        patch.setattr(picture, "decode", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            room.sources.put(jpeg(RED), "cover", False, 5.0)
    assert room.done() == room.sources.status()["received"] == 1
    assert "error of the program" in room.sources.status()["message"]


def test_the_engine_is_told_in_one_sentence_that_a_picture_is_gone(room: Room) -> None:
    with pytest.raises(ShotError, match=r"^The input picture 000000000000\.\.\. is not"):
        room.sources.resolve(ABSENT, *SIZE)


def test_a_shot_of_another_size_gets_the_picture_in_its_size(room: Room) -> None:
    name = room.sources.put(saved(quarters(), "PNG"), "cover", False, 5.0)
    assert room.sources.resolve(InputPicture(name), 32, 96).shape == (96, 32, 3)


# -- the size of the stage -------------------------------------------------------------------------


def test_before_the_first_frame_a_picture_waits_for_it(
    make_room: Callable[..., Room],
) -> None:
    room = make_room().start(shown=False)
    room.sources.offer(jpeg(RED, (640, 480)), "browser")
    room.settle()
    assert room.channel.given == []
    preview = room.sources.picture()
    assert preview is not None
    assert Image.open(io.BytesIO(preview)).size == (640, 480)
    room.channel.show()
    room.wait_for(RED)
    preview = room.sources.picture()
    assert preview is not None
    assert Image.open(io.BytesIO(preview)).size == SIZE


def test_put_before_the_first_frame_has_no_digest_yet(make_room: Callable[..., Room]) -> None:
    room = make_room().start(shown=False)
    assert room.sources.put(jpeg(RED), "cover", False, 5.0) == ""
    room.channel.show()
    room.wait_for(RED)


def test_width_and_height_give_the_size_without_a_frame(make_room: Callable[..., Room]) -> None:
    room = make_room(width=128, height=64).start(shown=False)
    name = room.sources.put(jpeg(RED), "cover", False, 5.0)
    assert room.sources.resolve(InputPicture(name), 128, 64).shape == (64, 128, 3)


def test_the_next_picture_follows_a_stage_of_another_size(room: Room) -> None:
    room.sources.put(jpeg(RED), "cover", False, 5.0)
    room.channel.show(size=(96, 96))
    name = room.sources.put(jpeg(RED), "cover", False, 5.0)
    assert len(room.channel.given) == 2
    found = room.sources._intake._store.find(name)
    assert found is not None
    assert found.shape == (96, 96, 3)


# -- many ------------------------------------------------------------------------------------------


def test_a_thousand_a_second_are_thinned_out_to_what_the_engine_takes(room: Room) -> None:
    """Two seconds of a flood: the newest is shown in the end, and memory does not grow."""
    noise = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)
    files = [saved(Image.fromarray(np.roll(noise, n, 0)), "JPEG") for n in range(50)]
    room.sources.offer(files[0], "browser")
    room.settle()
    tracemalloc.start()
    began = time.monotonic()
    slowest = 0.0
    for number in range(2000):
        before = time.monotonic()
        room.sources.offer(files[number % 50], "browser")
        slowest = max(slowest, time.monotonic() - before)
        time.sleep(max(0.0, began + number / 1000 - time.monotonic()))
    room.sources.offer(jpeg(BLUE), "browser")
    took = time.monotonic() - began
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    room.wait_for(BLUE)
    room.settle()
    status = room.sources.status()
    assert status["received"] == 2002
    assert status["used"] <= took * room.settings.target_fps + 3
    assert status["dropped"] == status["received"] - status["used"]
    assert most < 30_000_000
    assert slowest < 0.5


def test_few_pictures_are_decoded_while_nobody_watches(make_room: Callable[..., Room]) -> None:
    room = make_room(target_fps=120).start()
    room.channel.wanted = False
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        room.sources.offer(jpeg(RED), "browser")
        time.sleep(0.005)
    assert 2 <= room.sources.status()["used"] <= 6


def test_no_more_than_half_a_core_is_spent(make_room: Callable[..., Room]) -> None:
    """On damaged or large pictures, which take longer than a frame."""
    room = make_room(target_fps=1000).start()
    spent = 0.0
    real = picture.decode

    def slow(data: bytes, side: int) -> picture.Original:
        nonlocal spent
        before = time.monotonic()
        time.sleep(0.05)
        found = real(data, side)
        spent += time.monotonic() - before
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(picture, "decode", slow)
        began = time.monotonic()
        while time.monotonic() - began < 1.5:
            room.sources.offer(jpeg(RED), "browser")
            time.sleep(0.001)
        took = time.monotonic() - began
        room.settle()
    assert 0.2 * took < spent < 0.6 * took + 0.1


def test_a_picture_that_is_painted_at_once_is_followed_by_the_next(
    make_room: Callable[..., Room],
) -> None:
    """The pace is that of the engine, not of the clock."""
    room = make_room(target_fps=0.1).start()
    began = time.monotonic()
    for colour in (RED, GREEN, BLUE):
        room.sources.offer(jpeg(colour), "browser")
        room.wait_for(colour)  # asks for the pixels, as an engine does
    assert time.monotonic() - began < 8  # of the 10 s between two frames


def test_listeners_hear_of_each_picture(room: Room) -> None:
    heard: list[int] = []
    room.sources.listen(lambda: heard.append(room.done()))
    room.sources.offer(jpeg(RED), "browser")
    wait_until(lambda: heard == [1])
    room.sources.offer(b"words", "browser")
    wait_until(lambda: heard == [1, 2])


def test_the_store_is_bounded_in_number_and_bytes() -> None:
    store = Store()
    names = [store.add(np.full((2, 2, 3), n, np.uint8)) for n in range(MOST + 10)]
    assert [store.find(name) is not None for name in names] == [False] * 10 + [True] * MOST
    big = MOST_BYTES // 2 + 3
    names = [store.add(np.full((1, big // 3, 3), n, np.uint8)) for n in range(LEAST + 1)]
    assert [store.find(name) is not None for name in names] == [False] + [True] * LEAST


def test_a_picture_that_is_used_again_and_again_stays_in_the_store() -> None:
    """The probes of a fade all start from one, while a camera sends more pictures than are kept."""
    store = Store()
    used = store.add(np.full((2, 2, 3), 255, np.uint8))
    for level in range(2 * MOST):
        store.add(np.full((2, 2, 3), level, np.uint8))
        if not level % 10:
            assert store.find(used) is not None


def test_the_thread_ends_in_time_also_before_it_was_started(
    make_room: Callable[..., Room],
) -> None:
    room = make_room()
    room.sources.stop(1.0)
    other = make_room().start()
    began = time.monotonic()
    other.sources.stop(5.0)
    assert time.monotonic() - began < 5
    names = [thread.name for thread in threading.enumerate()]
    assert "source pictures" not in names
