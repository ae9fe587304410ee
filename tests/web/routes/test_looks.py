"""Looks over HTTP; wrong requests change nothing."""

from __future__ import annotations

import io
import threading
from concurrent.futures import Future
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from PIL import Image

from tests.engines import colour_of
from tests.stream.running import wait_until
from tests.web.answers import error_of
from tests.web.routes.repertoire import encoded, everything, jpeg, names
from turbostream.stream import look_pictures
from turbostream.stream.engine_api import Picture
from turbostream.stream.looks import Look
from turbostream.stream.scene import Scene
from turbostream.stream.shot import InputPicture, Shot
from turbostream.web.context import AppContext

CAFE = "caf\u00e9"
STRANGE = {
    "slash": "a%2Fb",
    "a slash at its end": "a%2F",
    "backslash": "a%5Cb",
    "NUL": "a%00b",
    "a line": "a%0Ab",
    "one dot": "%2E",
    "two dots": "%2E%2E",
    "300 characters": "x" * 300,
    "spaces": "%20%20",
    "not UTF-8": "%ff%fe",
    "an override": quote("\u202egnp"),
}


def test_what_is_on_screen_is_saved_with_its_thumbnail_and_recalled(
    client: FlaskClient, context: AppContext, open_engine: None
) -> None:
    client.patch("/scene", json={"prompt": "dawn words", "motion": "hold", "brightness": 0})
    before = context.channel.revision
    saved = client.put("/looks/dawn")
    assert saved.status_code == 200
    assert saved.json == client.get("/looks").json["looks"][0]
    assert (saved.json["name"], saved.json["prompt"]) == ("dawn", "dawn words")
    assert context.channel.revision > before, "controllers see it"
    picture = client.get("/" + saved.json["thumbnail"])
    assert picture.content_type == "image/jpeg"
    pixel = Image.open(io.BytesIO(picture.data)).convert("RGB").getpixel((30, 30))
    assert pixel == pytest.approx(colour_of("dawn words"), abs=6), "at normal brightness"

    client.post("/prompt", json={"prompt": "other words"})
    recalled = client.post("/looks/dawn/recall", json={"fade_s": 3, "easing": "linear"}).json
    assert recalled["prompt"] == "dawn words"
    assert recalled["brightness"] == 0
    assert recalled["fade"]["easing"] == "linear"
    assert recalled["frame"] == context.channel.last_change.after
    assert client.post("/looks/dawn/recall").json["prompt"] == "dawn words"


def test_a_look_with_a_source_is_painted_from_the_one_that_is_there_and_brings_it_back(
    client: FlaskClient, context: AppContext, open_engine: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    painted: list[Shot] = []
    paint = context.supervisor.paint

    def spied(shot: Shot) -> Future[Picture]:
        painted.append(shot)
        return paint(shot)

    monkeypatch.setattr(context.supervisor, "paint", spied)
    context.channel.give_picture("a" * 64)
    client.patch("/scene", json={"source": "picture", "strength": 0.3, "motion": "hold"})
    assert client.put("/looks/face").status_code == 200
    assert [(shot.source, shot.strength) for shot in painted] == [(InputPicture("a" * 64), 0.3)]
    client.patch("/scene", json={"source": "none", "strength": 1})
    recalled = client.post("/looks/face/recall").json
    assert (recalled["source"], recalled["strength"]) == ("picture", 0.3)
    exported = client.get("/looks").json["looks"][0]
    assert "a" * 64 not in str(exported), "a look names no picture"


def test_a_recall_waits_for_the_bar_if_the_scene_says_so(
    client: FlaskClient, context: AppContext, looks: None
) -> None:
    assert client.post("/looks/a/recall").json["waits_s"] == 0
    client.patch("/scene", json={"quantise": "bar", "bpm": 60, "beats_per_bar": 16, "beat": 1})
    answer = client.post("/looks/b/recall", json={"fade_s": 0}).json
    assert 10 < answer["waits_s"] <= 15
    assert answer["prompt"] == "look a"
    assert "frame" not in answer
    error_of(client.post("/looks/c/recall", json={"fade_s": -1}), 400)
    client.patch("/scene", json={"beat": 16})
    with context.channel.watched():
        wait_until(lambda: client.get("/scene").json["prompt"] == "look b")


def test_a_name_has_one_spelling_and_any_script(client: FlaskClient, open_engine: None) -> None:
    client.put("/looks/" + quote(CAFE))
    client.put("/looks/" + quote("cafe\u0301"))
    client.put("/looks/" + quote("夜明け ?#&"))
    assert names(client) == [CAFE, "夜明け ?#&"]
    for look in client.get("/looks").json["looks"]:
        assert client.get("/" + look["thumbnail"]).status_code == 200
    assert client.delete("/looks/" + quote("cafe\u0301")).status_code == 204


@pytest.mark.parametrize("name", STRANGE)
def test_an_invalid_name_is_400_on_every_route(
    client: FlaskClient, context: AppContext, name: str
) -> None:
    before = everything(context)
    path = f"/looks/{STRANGE[name]}"
    error_of(client.put(path), 400)
    error_of(client.delete(path), 400)
    error_of(client.patch(path, json={"name": "a"}), 400)
    error_of(client.post(path + "/recall"), 400)
    error_of(client.get(path + "/thumbnail.jpg"), 400)
    assert everything(context) == before


def test_a_look_that_does_not_exist_is_404_on_every_route(client: FlaskClient) -> None:
    error_of(client.delete("/looks/none"), 404)
    error_of(client.patch("/looks/none", json={"name": "a"}), 404)
    error_of(client.post("/looks/none/recall"), 404)
    error_of(client.get("/looks/none/thumbnail.jpg"), 404)


def test_looks_are_renamed_ordered_and_deleted(client: FlaskClient, open_engine: None) -> None:
    for name in "abc":
        client.put(f"/looks/{name}")
    renamed = client.patch("/looks/b", json={"name": CAFE})
    assert renamed.json["name"] == CAFE
    assert renamed.json["thumbnail"].startswith(f"looks/{quote(CAFE)}/thumbnail.jpg?v=")
    error_of(client.patch("/looks/a", json={"name": "c"}), 400)
    error_of(client.patch("/looks/a", json={"name": "a/b"}), 400)
    error_of(client.patch("/looks/a", json={}), 400)
    ordered = client.patch("/looks", json={"order": ["c", CAFE, "a"]})
    assert [look["name"] for look in ordered.json["looks"]] == ["c", CAFE, "a"]
    for order in (["c"], ["c", "c", "a"], "abc", None, [1, 2, 3], [{}, [], None]):
        error_of(client.patch("/looks", json={"order": order}), 400)
    answer = client.delete("/looks/c")
    assert (answer.status_code, answer.data) == (204, b"")
    assert names(client) == [CAFE, "a"]


def test_a_look_is_put_with_its_scene_and_thumbnail(client: FlaskClient) -> None:
    scene = {"prompt": "x", "prompts": [["x", 1], ["y", 2]], "seed": 4, "phase": 0.5}
    put = client.put("/looks/a", json={"scene": scene, "thumbnail": encoded(jpeg())})
    assert put.json["prompt"] == "y"
    assert client.get("/" + put.json["thumbnail"]).data == jpeg()
    assert put.json["scene"]["prompts"] == [["x", 1.0], ["y", 2.0]]


BAD_LOOKS: dict[str, object] = {
    "no scene": {"thumbnail": encoded(jpeg())},
    "a newer scene": {"scene": {"version": 99, "prompt": "x"}},
    "a thumbnail that is not a picture": {
        "scene": {"prompt": "x"},
        "thumbnail": encoded(b"<html>"),
    },
    "half a thumbnail": {"scene": {"prompt": "x"}, "thumbnail": encoded(jpeg(300)[:700])},
    "a large thumbnail": {"scene": {"prompt": "x"}, "thumbnail": "A" * 150_000},
    "a huge thumbnail": {"scene": {"prompt": "x"}, "thumbnail": encoded(jpeg(1100))},
    "weights of 0": {"scene": {"prompt": "x", "prompts": [["x", 0]]}},
    "negative weights": {"scene": {"prompt": "x", "prompts": [["x", -1]]}},
    "a thousand prompts": {"scene": {"prompt": "x", "prompts": [["x", 1]] * 1000}},
    "more": {"scene": {"prompt": "x"}, "colour": "red"},
    "a list": [],
    "a number": 7,
}


@pytest.mark.parametrize("name", BAD_LOOKS)
def test_a_look_that_cannot_be_used_is_refused_and_nothing_changes(
    client: FlaskClient, context: AppContext, name: str
) -> None:
    before = everything(context)
    error_of(client.put("/looks/a", json=BAD_LOOKS[name]), 400)
    assert everything(context) == before


def test_without_an_engine_a_look_is_saved_and_gets_its_thumbnail_when_it_is_recalled(
    client: FlaskClient, context: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_pictures, "PAINT_S", 0.05)
    monkeypatch.setattr(context.supervisor, "paint", lambda shot: Future[Picture]())
    assert client.put("/looks/a").json["thumbnail"] is None
    error_of(client.get("/looks/a/thumbnail.jpg"), 404)
    monkeypatch.undo()
    client.get("/snapshot.jpg")
    revision = context.channel.revision
    client.post("/looks/a/recall")
    wait_until(lambda: context.repertoire.collection.looks.get("a").thumbnail is not None)
    wait_until(lambda: context.channel.revision >= revision + 2)
    assert client.get("/" + client.get("/looks").json["looks"][0]["thumbnail"]).status_code == 200


def test_the_loop_goes_on_while_a_thumbnail_is_painted(
    client: FlaskClient, context: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gevent

    turns: list[int] = []
    picture: Future[Picture] = Future()

    def turn() -> None:
        for number in range(20):
            turns.append(number)
            gevent.sleep(0)
        picture.set_result(Picture(jpeg(), {}))

    def paint(shot: Shot) -> Future[Picture]:
        return picture

    monkeypatch.setattr(context.supervisor, "paint", paint)
    gevent.spawn(turn)
    assert client.put("/looks/a").json["thumbnail"] is not None
    assert len(turns) == 20, "the picture came from the loop itself"


def test_looks_without_thumbnails_get_them_one_after_another(
    client: FlaskClient, context: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many recalls in a row do not wait for the thumbnails."""
    collection = context.repertoire.collection
    looks = [Look.of(str(number), Scene.single(str(number)), 0.0) for number in range(20)]
    for look in looks:
        collection.save(look)
    futures: list[Future[Picture]] = []

    def paint(shot: Shot) -> Future[Picture]:
        futures.append(Future())
        return futures[-1]

    pictures = look_pictures.LookPictures(context.channel, collection, paint)
    worker = threading.Thread(target=pictures.complete, args=(looks[0],))
    worker.start()
    wait_until(lambda: len(futures) == 1)
    for look in looks[1:] * 2:
        pictures.complete(look)  # returns, although nothing is painted
    for count in range(1, 21):
        wait_until(lambda expected=count: len(futures) == expected)
        futures[-1].set_result(Picture(jpeg(), {}))
    worker.join()
    assert all(look.thumbnail for look in collection.looks.all)
    assert len(futures) == 20
