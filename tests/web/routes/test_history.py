"""`POST /undo` and `POST /redo`."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.web.answers import error_of
from tests.web.routes.repertoire import everything
from turbostream.web.context import AppContext


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
