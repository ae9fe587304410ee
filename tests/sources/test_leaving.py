"""The picture of a sender that has gone ends a little later, and no other one does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.sources.conftest import Room
from tests.sources.files import BLUE, GREEN, RED, jpeg
from tests.stream.running import wait_until
from turbostream.sources import senders

SOON_S = 0.05
ONE, OTHER = object(), object()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(senders, "LEFT_S", SOON_S)


def send(room: Room, sender: object, colour: tuple[int, int, int]) -> None:
    room.sources.offer(jpeg(colour), "browser", sender)
    room.wait_for(colour)


def is_over(room: Room) -> bool:
    return room.sources.picture() is None and room.channel.given[-1] is None


def wait_until_forgotten(room: Room) -> None:
    """Until a sender that left now is dealt with: those before it are, too."""
    room.sources.leave(object())
    wait_until(lambda: len(room.sources._intake._gone) == 0)


def test_the_picture_of_a_sender_that_has_gone_ends(soon: None, room: Room) -> None:
    send(room, ONE, RED)
    room.sources.leave(ONE)
    wait_until(lambda: is_over(room))
    assert room.sources.status()["from"] == ""
    send(room, OTHER, BLUE)


def test_it_stays_for_a_while(room: Room) -> None:
    send(room, ONE, RED)
    room.sources.leave(ONE)
    send(room, ONE, GREEN)
    assert not is_over(room)


def test_a_sender_that_comes_back_by_another_connection_goes_on(soon: None, room: Room) -> None:
    send(room, ONE, RED)
    send(room, OTHER, BLUE)
    room.sources.leave(ONE)
    wait_until_forgotten(room)
    assert room.shows(BLUE)
    room.sources.leave(OTHER)
    wait_until(lambda: is_over(room))


def test_a_picture_of_a_request_stays(soon: None, room: Room) -> None:
    send(room, ONE, RED)
    room.sources.put(jpeg(GREEN), "cover", False, 5.0)
    room.sources.leave(ONE)
    wait_until_forgotten(room)
    assert room.shows(GREEN)


def test_a_picture_that_is_still_waiting_ends_as_well(
    soon: None, make_room: Callable[..., Room]
) -> None:
    room = make_room()
    room.sources.offer(jpeg(RED), "browser", ONE)
    room.sources.leave(ONE)
    room.start(shown=False)
    wait_until(lambda: room.done() == 1)
    wait_until(lambda: room.sources.picture() is None)
