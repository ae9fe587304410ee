"""Looks, undo, the setlist and exports over HTTP; wrong requests change nothing."""

from __future__ import annotations

import base64
import errno
import io
import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from PIL import Image

from tests.engines import colour_of
from tests.stream.running import wait_until
from tests.web.answers import error_of
from turbostream.stream import look_pictures, looks_json, state_folder
from turbostream.stream.engine_api import Picture
from turbostream.stream.looks import Look
from turbostream.stream.scene import Scene
from turbostream.stream.shot import Shot
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


@pytest.fixture
def open_engine(client: FlaskClient) -> None:
    assert client.get("/snapshot.jpg").status_code == 200


def jpeg(side: int = 32) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (1, 2, 200)).save(file, "JPEG")
    return file.getvalue()


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def names(client: FlaskClient) -> list[str]:
    return [look["name"] for look in client.get("/looks").json["looks"]]


def everything(context: AppContext) -> tuple[object, ...]:
    repertoire = context.repertoire
    return (
        repertoire.collection.looks,
        repertoire.collection.setlist,
        repertoire.player.as_json(),
        context.channel.last_change,
    )


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


# -- undo ------------------------------------------------------------------------------------------


def test_undo_and_redo_go_through_the_scenes(client: FlaskClient) -> None:
    for method in ("/undo", "/redo"):
        assert "nothing" in error_of(client.post(method), 409)
    client.patch("/scene", json={"prompt": "second", "motion": "hold"})
    client.post("/prompt", json={"prompt": "third"})
    assert client.get("/status").json["history"] == {"undo": 2, "redo": 0}
    assert client.post("/undo").json["prompt"] == "second"
    undone = client.post("/undo", json={"fade_s": 4})
    assert undone.json["prompt"] == "first words"
    assert undone.json["fade"]["left_s"] == pytest.approx(4, abs=1)
    assert client.post("/redo").json["motion"] == "hold"
    assert client.get("/status").json["history"] == {"undo": 1, "redo": 1}


@pytest.mark.parametrize("body", [{"fade_s": -1}, {"fade_s": "x"}, {"fade_s": 601}, {"x": 1}, []])
def test_a_wrong_undo_changes_nothing(
    client: FlaskClient, context: AppContext, body: object
) -> None:
    client.post("/prompt", json={"prompt": "second"})
    before = everything(context)
    for path in ("/undo", "/redo"):
        error_of(client.post(path, json=body), 400)
    assert everything(context) == before
    assert context.channel.history == (1, 0)


# -- the setlist -----------------------------------------------------------------------------------


@pytest.fixture
def looks(client: FlaskClient, open_engine: None) -> None:
    for name in "abc":
        client.put(f"/looks/{name}", json={"scene": {"prompt": f"look {name}"}})


ENTRIES = [{"look": name, "hold_s": 60, "fade_s": 0} for name in "abc"]


def test_a_setlist_is_put_played_stepped_and_paused(
    client: FlaskClient, context: AppContext, looks: None
) -> None:
    assert client.get("/status").json["setlist"] is None
    revision = context.channel.revision
    put = client.put("/setlist", json={"entries": ENTRIES, "loop": True}).json
    assert put == {
        "entries": ENTRIES, "loop": True, "playing": False, "position": 0, "left_s": None,
    }  # fmt: skip
    assert context.channel.revision > revision
    assert client.patch("/setlist", json={"playing": True}).json["playing"] is True
    assert context.channel.scene.prompt == "look a"
    assert client.post("/setlist/next").json["position"] == 1
    assert context.channel.scene.prompt == "look b"
    assert client.patch("/setlist", json={"position": 0}).json["left_s"] == pytest.approx(60, abs=5)
    assert client.post("/setlist/previous").json["position"] == 2
    paused = client.patch("/setlist", json={"playing": False}).json
    assert client.get("/setlist").json == paused
    status = client.get("/status").json["setlist"]
    assert status == {"playing": False, "position": 2, "left_s": paused["left_s"], "look": "c"}


def test_a_look_of_the_setlist_is_renamed_in_it_and_not_deleted(
    client: FlaskClient, looks: None
) -> None:
    client.put("/setlist", json={"entries": ENTRIES})
    assert "setlist" in error_of(client.delete("/looks/b"), 409)
    client.patch("/looks/b", json={"name": "z"})
    assert [entry["look"] for entry in client.get("/setlist").json["entries"]] == ["a", "z", "c"]


@pytest.mark.parametrize(
    "body",
    [{}, {"loop": True}, {"entries": [{"look": "missing"}]}, {"entries": [{"look": "a/b"}]},
     {"entries": [{"look": "a", "hold_s": 0}]}, {"entries": 7}, {"entries": [], "loop": 1}, []],
)  # fmt: skip
def test_a_wrong_setlist_changes_nothing(
    client: FlaskClient, context: AppContext, looks: None, body: object
) -> None:
    client.put("/setlist", json={"entries": ENTRIES})
    before = everything(context)
    error_of(client.put("/setlist", json=body), 400)
    assert everything(context) == before


@pytest.mark.parametrize(
    "body",
    [{"position": 3}, {"position": -1}, {"position": True}, {"position": 1.5}, {"playing": 1},
     {"playing": None}, {"position": 1, "playing": "yes"}, {"loop": True}],
)  # fmt: skip
def test_a_wrong_step_changes_nothing(
    client: FlaskClient, context: AppContext, looks: None, body: object
) -> None:
    client.put("/setlist", json={"entries": ENTRIES})
    before = everything(context)
    error_of(client.patch("/setlist", json=body), 400)
    assert everything(context) == before


def test_an_empty_setlist_cannot_be_played(client: FlaskClient) -> None:
    error_of(client.patch("/setlist", json={"playing": True}), 409)
    error_of(client.post("/setlist/next"), 409)
    error_of(client.patch("/setlist", json={"position": 0}), 400)


# -- export and import -----------------------------------------------------------------------------


def test_an_export_brings_everything_to_another_server(
    client: FlaskClient, context: AppContext, looks: None
) -> None:
    client.put("/setlist", json={"entries": ENTRIES, "loop": True})
    exported = client.get("/export")
    assert "attachment" in exported.headers["Content-Disposition"]
    before = client.get("/looks").json, client.get("/setlist").json
    client.put("/setlist", json={"entries": []})
    for name in "ab":
        client.delete(f"/looks/{name}")
    client.put("/looks/c", json={"scene": {"prompt": "changed"}})
    client.put("/looks/d", json={"scene": {"prompt": "stays"}})
    assert client.post("/import", data=exported.data).json == {"looks": 3, "replaced": 1}
    assert names(client) == ["c", "d", "a", "b"]
    client.delete("/looks/d")
    client.patch("/looks", json={"order": ["a", "b", "c"]})
    assert (client.get("/looks").json, client.get("/setlist").json) == before
    assert client.get("/export").data == exported.data


def bad_file(**changes: object) -> bytes:
    good = {"name": "new", "scene": {"prompt": "x"}}
    return json.dumps({"version": 1, "looks": [good, {**good, **changes}]}).encode()


BAD_IMPORTS: dict[str, tuple[bytes, int]] = {
    "empty": (b"", 400),
    "not JSON": (b"looks", 400),
    "not UTF-8": (b"\xff\xfe{}", 400),
    "deep": (b"[" * 100_000, 400),
    "a newer version": (b'{"version": 2, "looks": []}', 400),
    "NaN": (b'{"version": 1, "looks": [], "setlist": {"entries": [NaN]}}', 400),
    "a bad second look": (bad_file(name="a/b"), 400),
    "a newer second look": (bad_file(name="b", scene={"version": 9, "prompt": "x"}), 400),
    "a thumbnail that is not a picture": (bad_file(name="b", thumbnail=encoded(b"x")), 400),
    "two of one name": (bad_file(), 400),
    "a setlist of nothing": (b'{"version": 1, "setlist": {"entries": [{"look": "no"}]}}', 400),
    "9 MB": (b" " * 9_000_000, 413),
}


@pytest.mark.parametrize("name", BAD_IMPORTS)
def test_an_import_is_all_or_nothing(
    client: FlaskClient, context: AppContext, looks: None, name: str
) -> None:
    before = everything(context)
    body, status = BAD_IMPORTS[name]
    error_of(client.post("/import", data=body), status)
    assert everything(context) == before


def test_a_larger_body_is_accepted_by_the_import_and_by_no_other_route(
    client: FlaskClient, context: AppContext
) -> None:
    spaces = b" " * 7_000_000
    assert client.post("/import", data=bad_import_of(spaces)).status_code == 200
    for method, path in (("PATCH", "/scene"), ("POST", "/prompt"), ("PATCH", "/looks"),
                         ("PUT", "/looks/a"), ("POST", "/undo"), ("PUT", "/setlist"),
                         ("POST", "/looks/new/recall"), ("POST", "/setlist/next")):  # fmt: skip
        answer = client.open(path, method=method, data=spaces, content_type="application/json")
        error_of(answer, 413)


def test_a_chunked_body_that_is_too_large_is_413_and_not_cut(
    client: FlaskClient, context: AppContext
) -> None:
    before = everything(context)
    for path, most, start in (
        ("/import", looks_json.MOST_BYTES, bad_import_of(b"")),
        ("/prompt", 65_536, b'{"prompt": "cut"}'),
    ):
        whole = start.ljust(most)
        for body, status in ((whole + b" ", 413), (whole, 200)):
            answer = client.post(
                path,
                input_stream=io.BytesIO(body),
                content_type="application/json",
                environ_overrides={"wsgi.input_terminated": True},
            )
            assert answer.status_code == status
            assert (everything(context) == before) == (status == 413)
        before = everything(context)


def test_an_import_of_too_many_values_is_refused_before_it_is_read(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_folder, "parse", None)  # it would fail with 500
    body = b'{"looks": [' + b"{}," * 250_000 + b"{}]}"
    assert "250,000 values" in error_of(client.post("/import", data=body), 400)


def bad_import_of(filler: bytes) -> bytes:
    return b'{"version": 1, "looks": [{"name": "new", "scene": {"prompt": "x"}}]}' + filler


def test_a_full_disk_is_507_and_changes_nothing(
    client: FlaskClient,
    context: AppContext,
    looks: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
) -> None:
    collection = context.repertoire.collection
    monkeypatch.setattr(collection, "_file", tmp_path / "looks-1.json")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(state_folder, "write", full)
    before = everything(context)
    requests: tuple[Callable[[], Any], ...] = (
        lambda: client.put("/looks/d", json={"scene": {"prompt": "x"}}),
        lambda: client.delete("/looks/a"),
        lambda: client.patch("/looks/a", json={"name": "z"}),
        lambda: client.patch("/looks", json={"order": ["c", "b", "a"]}),
        lambda: client.put("/setlist", json={"entries": ENTRIES}),
        lambda: client.post("/import", data=bad_import_of(b"")),
    )
    for request in requests:
        assert "No space left on device" in error_of(request(), 507)
    assert everything(context) == before
    assert not list(tmp_path.iterdir())


def test_requests_that_change_nothing_write_nothing(
    client: FlaskClient, looks: None, context: AppContext
) -> None:
    revision = context.channel.revision
    client.patch("/looks", json={"order": ["a", "b", "c"]})
    client.patch("/looks/a", json={"name": "a"})
    assert context.channel.revision == revision
    assert not [t for t in threading.enumerate() if t.name == "setlist"]
