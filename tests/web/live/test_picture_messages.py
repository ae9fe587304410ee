"""Pictures on the control socket: told from OSC, acknowledged once they are handled, and refused
from view-only visitors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.web.sources import BAD, SENTENCE, FakeSources
from turbostream.stream.channel import Channel
from turbostream.stream.controller import Controller
from turbostream.stream.scene import Scene
from turbostream.web.auth.access_control import VIEW_ONLY
from turbostream.web.context import AppContext
from turbostream.web.live.control_session import COMPLAIN_EVERY_S, ControlSession, Powers
from turbostream.web.live.picture_messages import PictureMessages, is_picture

JPEG = b"\xff\xd8\xff\xe0 rest"


@pytest.fixture
def sources() -> FakeSources:
    return FakeSources(Channel("main", Scene.single("words")))


@pytest.fixture
def pictures(sources: FakeSources) -> PictureMessages:
    return PictureMessages(sources)


def told(pictures: PictureMessages) -> Any:
    answer = pictures.answer()
    return None if answer is None else json.loads(answer)["source"]


@pytest.mark.parametrize(
    ("data", "answer"),
    [(JPEG, True), (b"\x89PNG\r\n\x1a\n....", True), (b"RIFF\x10\0\0\0WEBPVP8 ", True),
     (b"RIFF\x10\0\0\0WAVEfmt ", False), (b"RIFF", False), (b"\xff", False), (b"", False),
     (b"/speed\0\0,f\0\0\0\0\0\0", False), (b"#bundle\0", False), (b"GIF89a", False),
     (b"\x89PNG", False)],
)  # fmt: skip
def test_pictures_are_told_from_osc_by_their_first_bytes(data: bytes, answer: bool) -> None:
    assert is_picture(data) is answer
    assert is_picture(bytearray(data)) is answer


def test_a_picture_is_acknowledged_when_it_has_been_decoded(
    sources: FakeSources, pictures: PictureMessages
) -> None:
    assert (pictures.due_s(), told(pictures)) == (None, None)
    pictures.take(JPEG)
    assert pictures.due_s()
    assert told(pictures) is None
    sources.handle()
    assert told(pictures) == {"received": 1}
    assert (pictures.due_s(), told(pictures)) == (None, None)


def test_the_newest_wins_and_the_one_before_it_is_acknowledged_as_dropped(
    sources: FakeSources, pictures: PictureMessages
) -> None:
    pictures.take(JPEG + b"1")
    pictures.take(JPEG + b"2")
    assert told(pictures) == {"received": 1}
    assert pictures.due_s()
    sources.handle()
    assert told(pictures) == {"received": 2}
    assert sources.newest == JPEG + b"2"


def test_the_pictures_of_others_do_not_acknowledge_ones_own(
    sources: FakeSources, pictures: PictureMessages
) -> None:
    other = PictureMessages(sources)
    other.take(JPEG + b"other")
    sources.handle()
    pictures.take(JPEG)
    assert told(pictures) is None
    assert told(other) == {"received": 1}
    sources.handle()
    assert told(pictures) == {"received": 1}


def test_why_a_picture_was_refused_is_told(sources: FakeSources, pictures: PictureMessages) -> None:
    pictures.take(BAD)
    sources.handle()
    assert told(pictures) == {"received": 1, "message": SENTENCE}
    pictures.take(JPEG)
    sources.handle()
    assert told(pictures) == {"received": 2}


def test_of_a_flood_the_newest_is_kept_and_one_answer_covers_the_others(
    sources: FakeSources, pictures: PictureMessages
) -> None:
    for number in range(1000):
        pictures.take(JPEG + str(number).encode())
    assert told(pictures) == {"received": 999}
    assert told(pictures) is None
    assert pictures.due_s()
    sources.handle()
    assert sources.newest == JPEG + b"999"
    assert told(pictures) == {"received": 1000}
    status = sources.status()
    assert (status["received"], status["used"], status["dropped"]) == (1000, 1, 999)


def session(context: AppContext, clock: list[float], **powers: Any) -> ControlSession:
    given: dict[str, Any] = {
        "refusal": None,
        "parameters_refused": lambda names: None,
        "take_change": lambda: 0.0,
        "too_many_changes": "",
        "patch": context.channel.change,
        "datagram": lambda data: "It is no OSC.",
        "answer": lambda change: {},
        "state": lambda: "{}",
        "status_of": lambda error: 400,
        "sources": context.sources,
    }
    return ControlSession(Controller(context.desk), Powers(**{**given, **powers}), lambda: clock[0])


@pytest.mark.parametrize(
    ("powers", "sentence"),
    [({"refusal": VIEW_ONLY}, VIEW_ONLY), ({"sources": None}, "no input pictures")],
    ids=["view-only", "no sources"],
)
def test_who_may_send_none_is_told_so_once_a_second(
    context: AppContext, powers: dict[str, Any], sentence: str
) -> None:
    clock = [100.0]
    context.sources = sources = FakeSources(context.channel)
    served = session(context, clock, **powers)
    for _ in range(100):
        served.picture(JPEG)
    served.acknowledge()
    assert len(served.answers) == 1
    assert sentence in json.loads(served.answers[0])["error"]
    assert served.pictures_due_s() is None
    assert sources.status()["received"] == 0
    clock[0] += COMPLAIN_EVERY_S
    served.picture(JPEG)
    assert len(served.answers) == 2


def test_an_owners_picture_is_offered_and_acknowledged(context: AppContext) -> None:
    context.sources = sources = FakeSources(context.channel, at_once=True)
    served = session(context, [100.0])
    served.picture(bytearray(JPEG))
    served.acknowledge()
    assert [json.loads(answer) for answer in served.answers] == [{"source": {"received": 1}}]
    assert (sources.newest, sources.status()["from"]) == (JPEG, "browser")
    assert sources.left == []
    served.leave()
    assert sources.left == sources.senders


def test_the_sender_of_pictures_is_told_apart_and_leaves(
    sources: FakeSources, pictures: PictureMessages
) -> None:
    pictures.leave()
    assert sources.left == [], "it has sent nothing"
    other = PictureMessages(sources)
    pictures.take(JPEG)
    other.take(JPEG)
    pictures.leave()
    assert sources.left == sources.senders[:1] != sources.senders[1:]
