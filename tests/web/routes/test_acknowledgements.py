"""`POST /stream/{id}/shown`: running streams, ended ones, and ids that never existed."""

from __future__ import annotations

from flask.testing import FlaskClient

from tests.web.answers import error_of
from tests.web.reader import read_parts
from turbostream.web.context import AppContext
from turbostream.web.live.multipart import BOUNDARY
from turbostream.web.live.viewers import ENDED_KEPT, Viewer, Viewers
from turbostream.web.live.wakeup import Wakeup


def test_a_running_stream_accepts_acknowledgements(client: FlaskClient) -> None:
    response = client.get("/stream", buffered=False)
    stream = read_parts(response.response, BOUNDARY)
    number = next(stream).number
    address = f"/stream/{response.headers['X-Stream-Id']}/shown"
    assert client.post(address, json={"frame": number}).status_code == 204
    error_of(client.post(address, json={"frame": "1"}), 400)
    response.close()


def test_an_acknowledgement_that_arrives_after_the_stream_has_ended_is_no_error(
    client: FlaskClient,
) -> None:
    """A tab that is hidden closes its stream while a POST is under way, and a browser would print
    a 404 in its console."""
    response = client.get("/stream", buffered=False)
    number = next(read_parts(response.response, BOUNDARY)).number
    response.close()
    address = f"/stream/{response.headers['X-Stream-Id']}/shown"
    assert client.post(address, json={"frame": number}).status_code == 204
    error_of(client.post(address, json={"frame": -1}), 400)


def test_an_acknowledgement_for_a_stream_that_never_was_gets_404(client: FlaskClient) -> None:
    answer = client.post("/stream/nobody/shown", json={"frame": 1})
    assert "X-Stream-Id" in error_of(answer, 404)


def test_the_memory_of_ended_streams_does_not_grow(context: AppContext) -> None:
    viewers, wakeup = Viewers(2), Wakeup()
    stopping = context.is_stopping
    watched = [
        Viewer(context.channel, lambda: context.supervisor.status, wakeup, stopping)
        for _ in range(ENDED_KEPT + 5)
    ]
    for viewer in watched:
        with viewers.enter(viewer):
            assert not viewers.ended(viewer.id)
    wakeup.close()
    remembered = [viewers.ended(viewer.id) for viewer in watched]
    assert remembered == [False] * 5 + [True] * ENDED_KEPT
