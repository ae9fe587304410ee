"""`/setlist` over HTTP."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.web.answers import error_of
from tests.web.routes.repertoire import ENTRIES, everything
from turbostream.web.context import AppContext


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
