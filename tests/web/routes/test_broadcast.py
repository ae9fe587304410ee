"""`/broadcast`: for owners only; an address that is refused changes nothing, and no answer has the
key."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from tests.ports import free_port
from tests.stream.running import wait_until
from turbostream.sinks.broadcast import Broadcaster
from turbostream.web.context import AppContext
from turbostream.web.live.off_loop import off_loop

KEY = "sesame-4711"


@pytest.fixture(scope="module", autouse=True)
def pool() -> None:
    """The thread on which gevent's loop lets others wait; it outlives each test."""
    off_loop(threading.current_thread)


@pytest.fixture(autouse=True)
def broadcaster(context: AppContext) -> Iterator[Broadcaster]:
    context.broadcaster = broadcaster = Broadcaster(context.channel, context.settings)
    yield broadcaster
    assert not broadcaster.stop()["on"]


def test_an_owner_starts_reads_and_stops_a_broadcast(client: FlaskClient) -> None:
    port = free_port()
    url = f"rtmp://127.0.0.1:{port}/live/{KEY}"
    begun = client.put("/broadcast", json={"url": f" {url} "})
    assert begun.status_code == 200
    assert begun.json is not None
    assert begun.json["on"]
    assert begun.json["to"] == f"rtmp://127.0.0.1:{port}/live/***"
    wait_until(lambda: "refuses" in client.get("/broadcast").json["message"])
    status = client.get("/status")
    assert status.json is not None
    assert set(status.json["broadcast"]) == set(begun.json)
    assert KEY not in status.text + begun.text + client.get("/broadcast").text
    ended = client.delete("/broadcast")
    assert ended.json is not None
    assert not ended.json["on"]
    assert client.delete("/broadcast").json == ended.json


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({}, "Give an address, or set PUSH_URL before the server starts."),
        ({"url": 1}, "Send {"),
        ({"url": None}, "Send {"),
        ({"address": "x"}, "There is no field"),
        ({"url": f"http://host/live/{KEY}"}, "The address must be rtmp://"),
        ({"url": "hls:/tmp/anywhere"}, "A folder can only be given by the setting PUSH_URL"),
    ],
)
def test_a_wrong_body_is_refused(client: FlaskClient, body: object, sentence: str) -> None:
    answer = client.put("/broadcast", json=body)
    assert answer.status_code == 400
    assert answer.json is not None
    assert sentence in answer.json["error"]
    assert KEY not in answer.text
    assert client.get("/broadcast").json == {
        "on": False, "connected": False, "to": None, "seconds": 0.0, "bit_rate": 0, "frames": 0,
        "dropped": 0, "reconnects": 0, "message": "Nothing is broadcast.",
    }  # fmt: skip


def test_a_viewer_neither_starts_nor_sees_one(client: FlaskClient, context: AppContext) -> None:
    viewer = {"Authorization": f"Bearer {context.tokens.watch}"}
    elsewhere = {"environ_base": {"REMOTE_ADDR": "203.0.113.7"}}
    for method in ("GET", "PUT", "DELETE"):
        answer = client.open("/broadcast", method=method, headers=viewer, **elsewhere)
        assert answer.status_code == 403
    assert client.get("/status", headers=viewer, **elsewhere).json["broadcast"] is None


def test_a_server_without_a_broadcaster_says_so(client: FlaskClient, context: AppContext) -> None:
    context.broadcaster = None
    assert client.get("/broadcast").status_code == 503
    assert client.get("/status").json["broadcast"] is None
