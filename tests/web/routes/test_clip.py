"""`GET /clip`: what it accepts, and how many wait. Its files are tested in tests/sinks."""

from __future__ import annotations

import threading

import gevent
import pytest
from flask.testing import FlaskClient

from tests.web.answers import error_of
from turbostream.stream.recording import RecordingConflict
from turbostream.web.context import AppContext


@pytest.fixture
def asked(context: AppContext) -> list[tuple[float, str]]:
    """What the clips' maker was asked for."""
    found: list[tuple[float, str]] = []

    def clip(seconds: float, form: str) -> bytes:
        found.append((seconds, form))
        return b"clip"

    context.clip = clip
    return found


def test_a_clip_is_a_file_of_its_kind(client: FlaskClient, asked: list[tuple[float, str]]) -> None:
    answer = client.get("/clip?seconds=2.5&format=webp")
    assert (answer.data, answer.content_type) == (b"clip", "image/webp")
    assert 'filename="clip.webp"' in answer.headers["Content-Disposition"]
    answer = client.get("/clip")
    assert (answer.data, answer.content_type) == (b"clip", "video/mp4")
    assert asked == [(2.5, "webp"), (10.0, "mp4")]


@pytest.mark.parametrize(
    "query", ["seconds=0", "seconds=-1", "seconds=nan", "seconds=16", "seconds=x", "format=gif"]
)
def test_a_wrong_request_makes_no_clip(
    client: FlaskClient, asked: list[tuple[float, str]], query: str
) -> None:
    error_of(client.get(f"/clip?{query}"), 400)
    assert asked == []


def test_without_frames_or_a_maker_it_is_one_sentence(
    client: FlaskClient, context: AppContext
) -> None:
    error_of(client.get("/clip"), 503)

    def nothing(seconds: float, form: str) -> bytes:
        raise RecordingConflict("No frame has been shown yet.")

    context.clip = nothing
    error_of(client.get("/clip"), 409)


def test_one_is_encoded_at_a_time_and_few_wait(client: FlaskClient, context: AppContext) -> None:
    held, running, most = threading.Event(), [0], [0]

    def clip(seconds: float, form: str) -> bytes:
        running[0] += 1
        most[0] = max(most[0], running[0])
        assert held.wait(30)
        running[0] -= 1
        return b"clip"

    context.clip = clip
    others = [
        gevent.spawn(lambda: client.application.test_client().get("/clip").status_code)
        for _ in range(3)
    ]
    gevent.sleep(0)  # they begin
    refused = client.get("/clip")
    error_of(refused, 503)
    assert int(refused.headers["Retry-After"]) > 0
    held.set()
    gevent.joinall(others, timeout=30)
    assert [other.value for other in others] == [200, 200, 200]
    assert most == [1]
    assert client.get("/clip").status_code == 200
