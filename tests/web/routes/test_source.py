"""`/source`: an owner's input picture is taken, shown to its owner and forgotten; viewers never see
it, and what is refused changes nothing."""

from __future__ import annotations

import hashlib
import io
import threading
import time

import gevent
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.engines import ColourEngine
from tests.web.sources import BAD, PICTURE, SENTENCE, FakeSources
from turbostream.stream.capabilities import Capabilities
from turbostream.stream.shot import InputPicture, Shot
from turbostream.web.context import AppContext
from turbostream.web.live.off_loop import off_loop
from turbostream.web.routes.source import MOST_BYTES, MOST_REQUESTS

FILE = b"\xff\xd8 the bytes of a file"
ELSEWHERE = {"REMOTE_ADDR": "203.0.113.7"}


class NoSources(ColourEngine):
    """Declares that it starts from noise only."""

    capabilities = Capabilities(prompts=8)

    def _paint(self, shot: Shot):  # type: ignore[no-untyped-def]
        self.capabilities.check(shot)
        return super()._paint(shot)


@pytest.fixture(scope="module", autouse=True)
def pool() -> None:
    """The thread on which gevent's loop lets others wait; it outlives each test."""
    off_loop(threading.current_thread)


@pytest.fixture(autouse=True)
def sources(context: AppContext) -> FakeSources:
    found = FakeSources(context.channel)
    context.sources = found
    return found


@pytest.fixture
def viewer(context: AppContext) -> dict[str, object]:
    return {
        "headers": {"Authorization": f"Bearer {context.tokens.watch}"},
        "environ_base": ELSEWHERE,
    }


def answer_of(response: TestResponse, status: int = 200) -> dict[str, object]:
    assert response.status_code == status, response.text
    assert response.json is not None
    return dict(response.json)


def sentence(response: TestResponse, status: int) -> str:
    answer = answer_of(response, status)
    assert answer["status"] == "error"
    assert str(answer["error"]).endswith(".")
    return str(answer["error"])


def test_a_picture_becomes_the_source_of_the_frames_after_the_answer(
    client: FlaskClient, context: AppContext, open_engine: None
) -> None:
    answer = answer_of(client.put("/source", data=FILE))
    assert answer["status"] == "ok"
    assert answer["source"]["kind"] == "picture"  # type: ignore[index]
    assert answer["source"]["from"] == "request"  # type: ignore[index]
    assert context.channel.scene.source == "picture"
    taken = context.channel.take_shot()
    assert taken.number > answer["after"]  # type: ignore[operator]
    assert taken.shot.source == InputPicture(hashlib.sha256(FILE).hexdigest())


def test_a_second_picture_is_no_change_of_the_scene(
    client: FlaskClient, context: AppContext, open_engine: None
) -> None:
    client.put("/source", data=FILE)
    before = context.channel.last_change, context.channel.history
    answer = answer_of(client.put("/source", data=FILE + b" another"))
    assert (context.channel.last_change, context.channel.history) == before
    assert answer["after"] == context.channel.last_number


def test_a_frame_that_shows_the_picture_before_the_answer_is_after_it(
    client: FlaskClient, context: AppContext, open_engine: None
) -> None:
    """It may be the last one: an unchanged picture is not painted again."""
    client.put("/source", data=FILE)
    shots = []
    context.channel.listen_given(lambda: shots.append(context.channel.take_shot()))
    answer = answer_of(client.put("/source", data=FILE + b" another"))
    assert [shot.number for shot in shots] == [answer["after"] + 1]  # type: ignore[operator]


@pytest.mark.parametrize(
    ("query", "found"),
    [("", ("cover", False)), ("?fit=contain", ("contain", False)),
     ("?fit=cover&mirror=yes", ("cover", True)), ("?mirror=no", ("cover", False))],
)  # fmt: skip
def test_fit_and_mirror_are_passed_on(
    client: FlaskClient, sources: FakeSources, query: str, found: tuple[str, bool]
) -> None:
    answer_of(client.put(f"/source{query}", data=FILE))
    assert sources.put_with == [(FILE, *found)]


@pytest.mark.parametrize(
    ("query", "said"),
    [("?fit=stretch", "The fit is one of cover, contain."), ("?fit=", "The fit is one of"),
     ("?mirror=maybe", "The mirror is yes or no."), ("?mirror=1", "The mirror is yes or no.")],
)  # fmt: skip
def test_a_wrong_fit_or_mirror_is_refused(
    client: FlaskClient, context: AppContext, sources: FakeSources, query: str, said: str
) -> None:
    assert said in sentence(client.put(f"/source{query}", data=FILE), 400)
    assert (sources.put_with, context.channel.scene.source) == ([], "none")


def test_what_is_no_picture_is_refused_and_changes_nothing(
    client: FlaskClient, context: AppContext
) -> None:
    before = context.channel.last_change
    assert sentence(client.put("/source", data=BAD), 415) == SENTENCE
    assert "The body is empty" in sentence(client.put("/source"), 400)
    assert context.channel.last_change is before


def test_a_body_has_its_own_limit(client: FlaskClient, context: AppContext) -> None:
    assert context.settings.max_body_bytes < 1_000_000
    answer_of(client.put("/source", data=FILE + bytes(1_000_000)))
    answer_of(client.put("/source", data=FILE.ljust(MOST_BYTES)))
    said = sentence(client.put("/source", data=FILE.ljust(MOST_BYTES + 1)), 413)
    assert f"{MOST_BYTES:,} bytes" in said
    assert sentence(client.put("/looks/a", data=bytes(1_000_000)), 413)  # others keep theirs


class Endless(io.RawIOBase):
    """A chunked body without an end."""

    def __init__(self) -> None:
        self.read_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        buffer[:] = b"\xff" * len(buffer)
        self.read_bytes += len(buffer)
        return len(buffer)


def test_a_body_without_a_length_is_read_up_to_the_limit_and_not_beyond(
    client: FlaskClient, sources: FakeSources
) -> None:
    body = Endless()
    answer = client.put(
        "/source",
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input": body, "wsgi.input_terminated": True},
    )
    assert sentence(answer, 413)
    assert MOST_BYTES <= body.read_bytes < MOST_BYTES + 1_000_000
    assert sources.put_with == []


def test_a_false_length_is_refused_before_the_body_is_read(client: FlaskClient) -> None:
    body = Endless()
    answer = client.put(
        "/source",
        environ_overrides={"wsgi.input": body, "CONTENT_LENGTH": str(MOST_BYTES + 1)},
    )
    assert sentence(answer, 413)
    assert body.read_bytes == 0


def test_pictures_are_decoded_off_the_loop_and_few_wait(
    client: FlaskClient, sources: FakeSources
) -> None:
    sources.takes_s = 0.2
    ticks: list[float] = []

    def tick() -> None:
        while True:
            ticks.append(time.monotonic())
            gevent.sleep(0.01)

    ticking = gevent.spawn(tick)
    asked = [gevent.spawn(client.application.test_client().put, "/source", data=FILE)
             for _ in range(MOST_REQUESTS + 2)]  # fmt: skip
    gevent.joinall(asked, raise_error=True)
    ticking.kill()
    codes = sorted(one.value.status_code for one in asked)
    assert codes == [200] * MOST_REQUESTS + [503] * 2
    refused = next(one.value for one in asked if one.value.status_code == 503)
    assert refused.headers["Retry-After"]
    assert "the maximum" in sentence(refused, 503)
    assert threading.get_ident() not in sources.threads
    assert max(after - before for before, after in zip(ticks, ticks[1:], strict=False)) < 0.15
    sources.takes_s = 0.0
    answer_of(client.put("/source", data=FILE))  # the places are free again


def test_an_owner_sees_the_state_and_the_picture(client: FlaskClient) -> None:
    assert "There is no input picture" in sentence(client.get("/source.jpg"), 404)
    client.put("/source", data=FILE)
    state = answer_of(client.get("/source"))
    assert (state["kind"], state["size"], state["received"]) == ("picture", [640, 480], 1)
    picture = client.get("/source.jpg")
    assert (picture.status_code, picture.data, picture.mimetype) == (200, PICTURE, "image/jpeg")
    assert "no-store" in picture.headers["Cache-Control"]
    assert picture.headers["X-Content-Type-Options"] == "nosniff"
    assert picture.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_delete_forgets_the_picture_and_paints_from_words_again(
    client: FlaskClient, context: AppContext
) -> None:
    client.put("/source", data=FILE)
    answer = answer_of(client.delete("/source"))
    assert answer["source"]["kind"] == "none"  # type: ignore[index]
    assert context.channel.scene.source == "none"
    assert context.channel.take_shot().shot.source is None
    assert client.get("/source.jpg").status_code == 404
    answer_of(client.delete("/source"))  # there is none: that is no fault


def test_a_viewer_learns_the_kind_and_nothing_else(
    client: FlaskClient, viewer: dict[str, object], context: AppContext
) -> None:
    client.put("/source", data=FILE)
    for method, path in (
        ("GET", "/source"), ("GET", "/source.jpg"), ("PUT", "/source"), ("DELETE", "/source")
    ):  # fmt: skip
        refused = client.open(path, method=method, **viewer)  # type: ignore[arg-type]
        assert "view-only" in sentence(refused, 403)
    seen = client.get("/status", **viewer)  # type: ignore[arg-type]
    assert answer_of(seen)["source"] == {"kind": "picture"}
    assert hashlib.sha256(FILE).hexdigest() not in seen.text
    assert context.channel.scene.source == "picture"
    whole = answer_of(client.get("/status"))["source"]
    assert set(whole) == set(answer_of(client.get("/source")))  # type: ignore[call-overload]


def test_a_strangers_body_is_not_read(client: FlaskClient, viewer: dict[str, object]) -> None:
    for who, code in ((viewer, 403), ({"environ_base": ELSEWHERE}, 401)):
        body = Endless()
        given = {"wsgi.input": body, "CONTENT_LENGTH": "1000"}
        refused = client.put("/source", environ_overrides=given, **who)  # type: ignore[arg-type]
        assert (refused.status_code, body.read_bytes) == (code, 0)


def test_the_pictures_are_counted_in_the_metrics(client: FlaskClient, sources: FakeSources) -> None:
    client.put("/source", data=FILE)
    client.put("/source", data=BAD)
    for _ in range(3):
        sources.offer(FILE, "browser")
    lines = client.get("/metrics").text.splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if line.startswith("turbostream_source"))
    assert {name.removeprefix("turbostream_"): float(value) for name, value in found.items()} == {
        'source_pictures_total{channel="main"}': 5,
        'source_pictures_used_total{channel="main"}': 1,
        'source_pictures_dropped_total{channel="main"}': 2,
        'source_pictures_refused_total{channel="main"}': 1,
    }


def test_a_server_without_sources_says_so(client: FlaskClient, context: AppContext) -> None:
    context.sources = None
    for method, path in (
        ("GET", "/source"), ("GET", "/source.jpg"), ("PUT", "/source"), ("DELETE", "/source")
    ):  # fmt: skip
        assert "no input pictures" in sentence(client.open(path, method=method, data=FILE), 503)
    assert answer_of(client.get("/status"))["source"] is None
    assert "turbostream_source" not in client.get("/metrics").text


@pytest.mark.parametrize("context", [NoSources], indirect=True)
def test_an_engine_without_sources_takes_no_picture(
    client: FlaskClient, context: AppContext, sources: FakeSources, open_engine: None
) -> None:
    assert "from words only" in sentence(client.put("/source", data=FILE), 400)
    assert (sources.put_with, context.channel.scene.source) == ([], "none")
    answer_of(client.delete("/source"))
