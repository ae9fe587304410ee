"""`/channels`: what exists, and making and removing it while it is watched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from tests.stream.running import wait_until
from tests.web.answers import error_of
from tests.web.routes.channels import shows, watching, with_channels
from turbostream.stream.channel_names import MOST_CHANNELS
from turbostream.web.context import AppContext


@pytest.fixture
def server(context: AppContext, client: FlaskClient) -> Iterator[FlaskClient]:
    with with_channels(context, "main"):
        yield client


def names(client: FlaskClient) -> list[str]:
    return [one["name"] for one in client.get("/channels").json["channels"]]


def test_a_server_has_its_default_channel(server: FlaskClient) -> None:
    assert server.get("/channels").json == {
        "channels": [
            {
                "name": "main",
                "width": None,
                "height": None,
                "target_fps": 100,
                "fps": 0,
                "viewers": 0,
                "follows": None,
                "source": None,
            }
        ]
    }


def test_a_channel_is_made_painted_and_removed(server: FlaskClient) -> None:
    body = {"target_fps": 12.5, "width": 128, "height": 64}
    made = server.put("/channels/wall-1_a", json=body)
    assert made.status_code == 201
    rest = {"fps": 0, "viewers": 0, "follows": None, "source": None}
    assert made.json == {"name": "wall-1_a", **rest, **body}
    assert names(server) == ["main", "wall-1_a"]
    assert shows(server.get("/snapshot.jpg?channel=wall-1_a").data, "first words")
    server.post("/prompt?channel=wall-1_a", json={"prompt": "other words"})
    assert shows(server.get("/snapshot.jpg?channel=wall-1_a").data, "other words")
    shot = server.get("/frames/1/shot?channel=wall-1_a").json["shot"]
    assert (shot["width"], shot["height"]) == (128, 64)
    removed = server.delete("/channels/wall-1_a")
    assert (removed.status_code, removed.data) == (204, b"")
    assert names(server) == ["main"]
    error_of(server.get("/snapshot.jpg?channel=wall-1_a"), 404)


def test_without_a_body_it_is_like_the_default_channel(server: FlaskClient) -> None:
    assert server.put("/channels/a").json["target_fps"] == 100
    assert server.put("/channels/b", json={"width": None}).json["width"] is None


def test_the_size_of_the_model_is_known_with_the_first_frame(server: FlaskClient) -> None:
    server.get("/snapshot.jpg")
    (main,) = server.get("/channels").json["channels"]
    assert (main["width"], main["height"]) == (64, 64)


def test_the_streams_of_a_removed_channel_end_and_the_others_go_on(
    server: FlaskClient, context: AppContext
) -> None:
    server.put("/channels/left")
    with (
        watching(server, "/stream") as kept,
        watching(server, "/stream?channel=left") as ending,
    ):
        assert next(kept).jpeg
        assert next(ending).jpeg
        viewers = {one["name"]: one["viewers"] for one in server.get("/channels").json["channels"]}
        assert viewers == {"main": 1, "left": 1}
        left = context.channels.get("left").channel
        assert server.delete("/channels/left").status_code == 204
        assert sum(1 for _ in ending) < 50, "it ends"
        first = next(kept).number
        assert any(next(kept).number > first for _ in range(50))
    wait_until(lambda: not left.wanted)
    number = left.last_number
    with left.watched():
        server.get("/snapshot.jpg")
        assert left.last_number == number, "it is painted no more"


def test_a_channel_can_be_made_again_and_begins_anew(server: FlaskClient) -> None:
    for words in ("one", "two"):
        assert server.put("/channels/left").status_code == 201
        assert server.get("/scene?channel=left").json["prompt"] == "first words"
        server.post("/prompt?channel=left", json={"prompt": words})
        assert shows(server.get("/snapshot.jpg?channel=left").data, words)
        assert server.get("/snapshot.jpg?channel=left").headers["X-Frame-Id"] in "23456789"
        assert server.delete("/channels/left").status_code == 204


@pytest.mark.parametrize(
    "name",
    ["a%2Fb", "a/b", "..", ".", "a.b", "%20", "A", "-a", "_a", "x" * 33, "x" * 300, "é", "%00",
     "a%0a", "a,b"],
)  # fmt: skip
def test_a_bad_name_is_one_sentence_and_makes_nothing(server: FlaskClient, name: str) -> None:
    sentence = error_of(server.put(f"/channels/{name}"), 400)
    assert "a-z" in sentence
    assert len(sentence) < 160
    assert names(server) == ["main"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"target_fps": 0}, "target_fps"),
        ({"target_fps": "fast"}, "target_fps"),
        ({"target_fps": True}, "target_fps"),
        ({"width": 100}, "multiple of 8"),
        ({"height": 4096}, "multiple of 8"),
        ({"height": 64.0}, "multiple of 8"),
        ({"width": True}, "multiple of 8"),
        ({"colour": "red"}, "colour"),
        ([], "object"),
    ],
)
def test_a_bad_body_is_one_sentence_and_makes_nothing(
    server: FlaskClient, body: object, says: str
) -> None:
    assert says in error_of(server.put("/channels/left", json=body), 400)
    assert names(server) == ["main"]


def test_a_channel_that_exists_is_not_replaced(server: FlaskClient) -> None:
    server.put("/channels/left")
    server.post("/prompt?channel=left", json={"prompt": "typed"})
    for name in ("left", "main"):
        error_of(server.put(f"/channels/{name}", json={"target_fps": 5}), 409)
    assert server.get("/scene?channel=left").json["prompt"] == "typed"
    assert server.get("/channels").json["channels"][1]["target_fps"] == 100


def test_channels_follow_and_a_leader_stays_while_it_is_followed(server: FlaskClient) -> None:
    for name, how in (("seed", {"seed": 1}), ("phase", {"phase": 0.5}),
                      ("crop", {"crop": [0.5, 0, 0.5, 0.25]})):  # fmt: skip
        follows = {"channel": "main", **how}
        made = server.put(f"/channels/{name}", json={"follows": follows})
        assert (made.status_code, made.json["follows"]) == (201, follows)
    server.post("/prompt", json={"prompt": "of all"})
    for name in ("seed", "phase", "crop"):
        assert shows(server.get(f"/snapshot.jpg?channel={name}").data, "of all")
        assert server.get(f"/scene?channel={name}").json["prompt"] == "of all"
        for method, path in (("PATCH", "/scene"), ("POST", "/undo")):
            answer = server.open(f"{path}?channel={name}", method=method, json={})
            assert "follows main" in error_of(answer, 409)
        answer = server.put(f"/source?channel={name}", data=b"x")
        assert "no input pictures" in error_of(answer, 503)
    found = {one["name"]: one for one in server.get("/channels").json["channels"]}
    assert (found["crop"]["width"], found["crop"]["height"]) == (32, 16)
    assert found["seed"]["width"] == 64
    seeds = [server.get(f"/scene?channel={name}").json["seed"] for name in ("main", "seed")]
    assert seeds[1] == seeds[0] + 1
    assert server.delete("/channels/seed").status_code == 204
    wrong = {"nobody": 404, "crop": 409}
    for leader, code in wrong.items():
        follows = {"channel": leader, "seed": 1}
        error_of(server.put("/channels/x", json={"follows": follows}), code)
    for body in ({"channel": "main"}, "main"):
        error_of(server.put("/channels/x", json={"follows": body}), 400)


def test_the_default_channel_stays_and_an_unknown_one_is_404(server: FlaskClient) -> None:
    assert "default" in error_of(server.delete("/channels/main"), 409)
    error_of(server.delete("/channels/left"), 404)
    assert names(server) == ["main"]


def test_of_a_thousand_channels_as_many_are_made_as_there_may_be(server: FlaskClient) -> None:
    made = [server.put(f"/channels/c{number}").status_code for number in range(1_000)]
    assert made == [201] * (MOST_CHANNELS - 1) + [409] * (1_000 - MOST_CHANNELS + 1)
    assert len(names(server)) == MOST_CHANNELS
    assert server.get("/snapshot.jpg?channel=c14").status_code == 200


def test_the_memory_of_removed_channels_is_given_back(
    server: FlaskClient, context: AppContext
) -> None:
    import gc
    import weakref

    server.put("/channels/left")
    server.get("/snapshot.jpg?channel=left")
    channel = weakref.ref(context.channels.get("left").channel)
    server.delete("/channels/left")
    wait_until(lambda: gc.collect() is not None and channel() is None)
