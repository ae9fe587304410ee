"""`/mappings` over HTTP, and mappings in the export."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from tests.web.answers import error_of
from tests.web.routes.repertoire import everything
from turbostream.web.context import AppContext

KNOB = {
    "device": "nanoKONTROL2", "channel": 1, "type": "cc", "number": 21, "target": "speed",
    "mode": "continuous",
}  # fmt: skip
SOUND = {
    "source": "low", "target": "brightness", "amount": 0.5, "smoothing": 0.8, "floor": 0.1,
}  # fmt: skip
BOTH = {"midi": [KNOB], "sound": [SOUND]}
NONE: dict[str, object] = {"midi": [], "sound": []}


def test_mappings_are_put_and_read(client: FlaskClient, context: AppContext) -> None:
    assert client.get("/mappings").json == NONE
    revision = context.channel.revision
    assert client.put("/mappings", json=BOTH).json == BOTH
    assert client.get("/mappings").json == BOTH
    assert context.channel.revision > revision, "other pages read them again"
    assert client.put("/mappings", json=NONE).json == NONE


def test_a_mapping_of_a_parameter_that_does_not_exist_is_kept_and_reported(
    client: FlaskClient,
) -> None:
    gone = {**KNOB, "target": "colour"}
    answer = client.put("/mappings", json={"midi": [KNOB, gone], "sound": []}).json
    assert answer["midi"] == [KNOB, {**gone, "unknown": True}]
    assert client.put("/mappings", json=answer).json == answer


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"midi": []}, {"sound": []}, [], {**NONE, "osc": []}, {**NONE, "midi": 7}),
        {**NONE, "midi": [{**KNOB, "channel": 17}]},
        {**NONE, "midi": [KNOB] * 257},
        {**NONE, "sound": [{**SOUND, "amount": 1.1}]},
        {**NONE, "midi": [{**KNOB, "value": "\ud800"}]},
    ],
)
def test_wrong_mappings_change_nothing(
    client: FlaskClient, context: AppContext, body: object
) -> None:
    client.put("/mappings", json=BOTH)
    before = everything(context)
    error_of(client.put("/mappings", json=body), 400)
    assert everything(context) == before


def test_256_large_mappings_are_accepted_and_a_megabyte_is_not(client: FlaskClient) -> None:
    large = {**KNOB, "device": "x" * 200, "value": "y" * 1000}
    assert client.put("/mappings", json={**NONE, "midi": [large] * 256}).status_code == 200
    body = b'{"midi": [], "sound": []}' + b" " * 2**20
    error_of(client.put("/mappings", data=body, content_type="application/json"), 413)


def test_mappings_are_in_the_export_and_an_import_without_any_keeps_them(
    client: FlaskClient, looks: None
) -> None:
    without = client.get("/export").data
    client.put("/mappings", json=BOTH)
    exported = client.get("/export").data
    assert client.post("/import", data=without).status_code == 200
    assert client.get("/mappings").json == BOTH
    client.put("/mappings", json={"midi": [{**KNOB, "number": 9}], "sound": []})
    assert client.post("/import", data=exported).json == {"looks": 3, "replaced": 3}
    assert client.get("/mappings").json == BOTH


def test_mappings_alone_can_be_imported(client: FlaskClient) -> None:
    answer = client.post("/import", json={"version": 2, "mappings": BOTH})
    assert answer.json == {"looks": 0, "replaced": 0}
    assert client.get("/mappings").json == BOTH
    error_of(client.post("/import", json={"version": 2, "mappings": {"midi": [7]}}), 400)
    assert client.get("/mappings").json == BOTH


def test_a_renamed_look_is_renamed_in_the_mappings_that_recall_it(
    client: FlaskClient, looks: None
) -> None:
    recall = {**KNOB, "target": "look", "mode": "trigger", "value": "a"}
    words = {**recall, "target": "prompt"}
    client.put("/mappings", json={"midi": [recall, words], "sound": []})
    client.patch("/looks/a", json={"name": "dawn"})
    values = [entry["value"] for entry in client.get("/mappings").json["midi"]]
    assert values == ["dawn", "a"]
