"""Channels whose input pictures are the frames of another one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.stream.running import wait_until
from tests.web.answers import error_of
from tests.web.routes.channels import shows, watching, with_channels
from turbostream.stream.channel_spec import ChannelSpec, spec_of
from turbostream.stream.shot import InputPicture
from turbostream.web.context import AppContext


@pytest.fixture
def painting(context: AppContext, client: FlaskClient) -> Iterator[FlaskClient]:
    """A client of a server whose channel `painting` paints from the frames of main."""
    context.repertoire.start(lambda: True, None)
    with with_channels(context, "main,left"):
        answer = client.put("/channels/painting", json={"source": "main"})
        assert (answer.status_code, answer.json["source"]) == (201, "main")
        yield client
    context.repertoire.stop(timeout_s=30.0)


def test_its_frames_start_from_those_of_the_other_channel(
    painting: FlaskClient, context: AppContext
) -> None:
    channel = context.channels.get("painting").channel
    painting.post("/prompt", json={"prompt": "upstream words"})
    painting.post("/prompt?channel=painting", json={"prompt": "its own words"})

    def source_shows(words: str) -> bool:
        answer = painting.get("/source.jpg?channel=painting")
        return answer.status_code == 200 and shows(answer.data, words)

    def starts_from_a_picture() -> bool:
        newest = channel.buffer.newest()
        return newest is not None and isinstance(newest.shot.source, InputPicture)

    with watching(painting, "/stream?channel=painting"):
        wait_until(lambda: source_shows("upstream words"))
        wait_until(starts_from_a_picture)
        assert painting.get("/source?channel=painting").json["from"] == "channel main"
        painting.post("/prompt", json={"prompt": "others"})
        wait_until(lambda: source_shows("others"))
        newest = channel.buffer.newest()
        assert newest is not None
        assert newest.shot.prompt == "its own words"
        assert painting.get("/source").json["received"] == 0, "main starts from noise"


def test_the_other_channel_is_painted_only_while_it_is_watched(
    painting: FlaskClient, context: AppContext
) -> None:
    received = painting.get("/source?channel=painting").json["received"]
    with watching(painting, "/stream"):
        wait_until(lambda: context.channel.last_number > 5)
        assert painting.get("/source?channel=painting").json["received"] == received
    wait_until(lambda: not context.channel.wanted)
    with watching(painting, "/stream?channel=painting"):
        wait_until(lambda: context.channel.wanted)
    wait_until(lambda: not context.channel.wanted)


def test_a_source_stays_until_the_channel_that_needs_it_is_removed(
    painting: FlaskClient, context: AppContext
) -> None:
    assert painting.put("/channels/copy", json={"source": "left"}).status_code == 201
    refused = error_of(painting.delete("/channels/left"), 409)
    assert "is the source of copy; DELETE these first" in refused
    listeners = context.channels.get("left").channel.buffer._listeners
    assert painting.delete("/channels/copy").status_code == 204
    assert len(context.channels.get("left").channel.buffer._listeners) == len(listeners) - 1
    assert painting.delete("/channels/left").status_code == 204


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"source": "new"}, 400, "the name of another channel"),
        ({"source": 7}, 400, "the name of another channel"),
        ({"source": "right"}, 404, "right"),
        ({"source": "main", "follows": {"channel": "main", "seed": 1}}, 400, "has no source"),
    ],
)
def test_a_wrong_source_is_one_sentence(
    painting: FlaskClient, body: dict[str, Any], status: int, sentence: str
) -> None:
    assert sentence in error_of(painting.put("/channels/new", json=body), status)
    names = [one["name"] for one in painting.get("/channels").json["channels"]]
    assert names == ["main", "left", "painting"]


def test_its_form_in_the_state_folder_is_read_again() -> None:
    spec = ChannelSpec("painting", 25.0, 256, None, source="main")
    assert spec_of("painting", spec.as_json(), lambda name: ChannelSpec("main", 30.0)) == spec
