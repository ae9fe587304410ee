"""`?channel=`: each channel is a stream of its own, and without it everything is as it was."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from tests.stream.running import wait_until
from tests.web.answers import error_of
from tests.web.routes.channels import shows, watching, with_channels
from tests.web.routes.repertoire import jpeg
from turbostream.web.context import AppContext


@pytest.fixture
def left(context: AppContext, client: FlaskClient) -> Iterator[FlaskClient]:
    """A client of a server with the channels main and left."""
    context.repertoire.start(lambda: True, None)
    with with_channels(context, "main,left"):
        yield client
    context.repertoire.stop(timeout_s=30.0)


def test_a_change_reaches_the_named_channel_only(left: FlaskClient, context: AppContext) -> None:
    before = context.channel.last_change
    assert left.post("/prompt?channel=left", json={"prompt": "left words"}).status_code == 200
    assert left.patch("/scene?channel=left", json={"speed": 0.5}).json["speed"] == 0.5
    assert left.get("/scene?channel=left").json["prompt"] == "left words"
    assert left.get("/scene").json["prompt"] == "first words"
    assert context.channel.last_change is before
    assert left.post("/undo?channel=left").json["speed"] == 0.15
    assert left.post("/undo").status_code == 409


def test_each_channel_shows_its_own_pictures(left: FlaskClient) -> None:
    left.post("/prompt?channel=left", json={"prompt": "left words"})
    for query, words in (("", "first words"), ("?channel=main", "first words"),
                         ("?channel=left", "left words")):  # fmt: skip
        snapshot = left.get("/snapshot.jpg" + query)
        assert shows(snapshot.data, words)
        with watching(left, "/stream" + query) as parts:
            assert shows(next(part for part in parts if part.number).jpeg, words)
        number = int(snapshot.headers["X-Frame-Id"])
        join = "&" if query else "?"
        shot = left.get(f"/frames/{number}/shot{query}{join}x=1").json["shot"]
        assert shot["prompts"] == [[words, 1.0]]


def test_the_status_is_of_the_named_channel(left: FlaskClient, context: AppContext) -> None:
    left.post("/prompt?channel=left", json={"prompt": "left words"})
    with watching(left, "/stream?channel=left") as parts:
        next(parts)
        assert left.get("/status?channel=left").json["viewers"] == 1
        assert left.get("/status").json["viewers"] == 0
        live = context.channels.get("left")
        wait_until(lambda: live.meter.frames > 5)
        found = left.get("/status?channel=left").json
    assert (found["prompt"], left.get("/status").json["prompt"]) == ("left words", "first words")
    assert found["frames"] > 5
    assert left.get("/status").json["frames"] == 0


def test_a_look_is_saved_from_and_recalled_to_the_named_channel(left: FlaskClient) -> None:
    left.post("/prompt?channel=left", json={"prompt": "left words"})
    assert left.put("/looks/a?channel=left").json["prompt"] == "left words"
    left.post("/prompt?channel=left", json={"prompt": "others"})
    assert left.post("/looks/a/recall?channel=left").json["prompt"] == "left words"
    assert left.get("/scene").json["prompt"] == "first words"
    assert [look["name"] for look in left.get("/looks").json["looks"]] == ["a"]
    assert left.post("/looks/a/recall").json["prompt"] == "left words"


def test_a_change_of_the_looks_reaches_the_pages_of_every_channel(
    left: FlaskClient, context: AppContext
) -> None:
    channels = [live.channel for live in context.channels]
    before = [channel.revision for channel in channels]
    assert left.put("/looks/a").status_code == 200
    assert all(channel.revision > old for channel, old in zip(channels, before, strict=True))


def test_parameters_previews_and_the_page_are_of_the_named_channel(left: FlaskClient) -> None:
    assert left.patch("/parameters?channel=left", json={"prompt": "left words"}).status_code == 200
    assert shows(left.post("/preview?channel=left", json={"speed": 0.2}).data, "left words")
    assert shows(left.post("/preview", json={"speed": 0.2}).data, "first words")
    assert "left words" in left.get("/?channel=left").text
    assert "left words" not in left.get("/").text
    form = left.post("/prompt?channel=left", data={"prompt": "from a form"})
    assert form.headers["Location"].endswith("./?channel=left")


def test_input_pictures_go_to_the_named_channel(left: FlaskClient, context: AppContext) -> None:
    assert left.put("/source?channel=left", data=jpeg()).status_code == 200
    assert context.channels.get("left").channel.scene.source == "picture"
    assert context.channel.scene.source == "none"
    assert left.get("/source?channel=left").json["received"] == 1
    assert left.get("/source").json["received"] == 0
    assert left.delete("/source?channel=left").json["source"]["kind"] == "none"


@pytest.mark.parametrize("name", ["right", "", "LEFT", "../left", "a/b", "l" * 300, "\x00", "é"])
def test_an_unknown_channel_is_404_and_one_sentence_everywhere(
    left: FlaskClient, context: AppContext, name: str
) -> None:
    before = context.channel.last_change
    for method, path in (
        ("GET", "/stream"), ("GET", "/snapshot.jpg"), ("GET", "/scene"), ("PATCH", "/scene"),
        ("POST", "/prompt"), ("GET", "/source"), ("PUT", "/source"), ("GET", "/status"),
        ("POST", "/looks/a/recall"), ("GET", "/control"), ("POST", "/undo"), ("POST", "/preview"),
        ("GET", "/frames/1/shot"), ("POST", "/recipe"), ("PATCH", "/parameters"), ("GET", "/"),
    ):  # fmt: skip
        answer = left.open(path, method=method, query_string={"channel": name})
        assert "no channel" in error_of(answer, 404), (method, path)
        assert len(answer.json["error"]) < 120
    assert context.channel.last_change is before


def test_what_belongs_to_the_default_channel_is_refused_on_another(left: FlaskClient) -> None:
    for method, path in (
        ("GET", "/setlist"), ("POST", "/setlist/next"), ("POST", "/recording"),
        ("PUT", "/broadcast"), ("GET", "/clip"), ("GET", "/recordings"),
    ):  # fmt: skip
        answer = left.open(path + "?channel=left", method=method)
        assert "on the default channel, main" in error_of(answer, 400)
    for value in ({"setlist_next": True}, {"setlist_play": "on"}, {"record": "on"}):
        assert "default channel" in error_of(
            left.patch("/parameters?channel=left", json=value), 400
        )
    assert left.get("/setlist?channel=main").status_code == 200


def test_the_status_of_another_channel_has_nothing_of_the_default_one(left: FlaskClient) -> None:
    left.put("/looks/a")
    left.put("/setlist", json={"entries": [{"look": "a", "hold_s": 60, "fade_s": 0}]})
    assert left.get("/status").json["setlist"] is not None
    found = left.get("/status?channel=left").json
    assert [found[name] for name in ("setlist", "recording", "broadcast")] == [None] * 3


def test_the_metrics_have_a_label_for_each_channel(left: FlaskClient) -> None:
    left.get("/snapshot.jpg?channel=left")
    lines = dict(line.rsplit(" ", 1) for line in left.get("/metrics").text.splitlines())
    assert float(lines['turbostream_frames_total{channel="left"}']) >= 1
    assert float(lines['turbostream_frames_total{channel="main"}']) == 0
    assert float(lines['turbostream_viewers{channel="left"}']) == 0


def test_a_status_without_other_channels_names_none(client: FlaskClient) -> None:
    assert "left" not in json.dumps(client.get("/status").json)
