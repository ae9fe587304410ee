"""Changes that never stop: whoever watches gets every finished frame all the same."""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from PIL import Image

from tests.engines import ColourEngine, colour_of, opens
from tests.robustness.raw import eventually
from tests.web.reader import read_parts
from turbostream.settings import Settings
from turbostream.stream.channel import Channel
from turbostream.stream.frame import Frame
from turbostream.stream.scene import Scene
from turbostream.stream.scheduled_channel import ScheduledChannel
from turbostream.stream.shot import Shot
from turbostream.stream.supervisor import Supervisor
from turbostream.web.app import create_app
from turbostream.web.context import AppContext
from turbostream.web.live.multipart import BOUNDARY, PartCache
from turbostream.web.live.wakeup import Wakeup

FRAMES = 30
PATIENCE_S = 15.0


@contextmanager
def serving(folder: Path, before: Callable[[Shot, Channel], object]) -> Iterator[FlaskClient]:
    """The web over an engine that calls `before` while it is on each frame."""
    settings = Settings(
        target_fps=100, initial_prompt="words", model_id="demo", server_port=0, state_dir=folder
    )
    channel = Channel("main", Scene.single(settings.initial_prompt))
    engine = ColourEngine(lambda shot: before(shot, channel))
    scheduled = ScheduledChannel(channel, settings.target_fps)
    supervisor = Supervisor([scheduled], opens(engine))
    context = AppContext(settings, scheduled, supervisor, model_id="demo", demo=True)
    wakeup = Wakeup()
    channel.buffer.listen(wakeup.send)
    supervisor.start()
    try:
        with create_app(context, wakeup).test_client() as client:
            yield client
    finally:
        assert supervisor.stop(timeout_s=30.0)
        wakeup.close()


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[FlaskClient]:
    """A server whose scene changes while each of its frames is painted: none shows the newest."""
    count = itertools.count()

    def change(shot: Shot, channel: Channel) -> None:
        channel.change({"prompt": f"words {next(count)}"})

    with serving(tmp_path, change) as client:
        yield client


def test_a_viewer_gets_every_frame_though_each_is_overtaken_by_a_change(busy: FlaskClient) -> None:
    response = busy.get("/stream", buffered=False)
    deadline, numbers = time.monotonic() + PATIENCE_S, set[int]()
    for found in read_parts(response.response, BOUNDARY):
        numbers.add(found.number)
        if len(numbers - {0}) >= FRAMES or time.monotonic() > deadline:
            break
    response.close()
    assert len(numbers - {0}) >= FRAMES


def test_a_slower_viewer_gets_its_rate_too(busy: FlaskClient) -> None:
    response = busy.get("/stream?fps=20", buffered=False)
    deadline, numbers = time.monotonic() + PATIENCE_S, set[int]()
    for found in read_parts(response.response, BOUNDARY):
        numbers.add(found.number)
        if len(numbers - {0}) >= 10 or time.monotonic() > deadline:
            break
    response.close()
    assert len(numbers - {0}) >= 10


def test_a_snapshot_comes_though_each_frame_is_overtaken_by_a_change(busy: FlaskClient) -> None:
    before = busy.get("/status").json["frame"]
    picture = busy.get("/snapshot.jpg")
    assert picture.status_code == 200
    assert int(picture.headers["X-Frame-Id"]) > before


def test_the_time_to_the_picture_is_measured_though_changes_never_stop(busy: FlaskClient) -> None:
    response = busy.get("/stream", buffered=False)
    deadline = time.monotonic() + 3.0
    for found in read_parts(response.response, BOUNDARY):
        if found.number > FRAMES or time.monotonic() > deadline:
            break
    response.close()
    measured = busy.get("/status").json["prompt_to_picture_ms"]
    assert measured["p50"] is not None
    assert 0 < measured["p50"] < 1000


def test_a_snapshot_never_shows_words_from_before_it_was_asked_for(tmp_path: Path) -> None:
    """Also not the frame that was under way when the words came."""
    with (
        serving(tmp_path, lambda shot, channel: time.sleep(0.02)) as client,
        client.get("/stream", buffered=False) as response,
    ):
        stream = read_parts(response.response, BOUNDARY)
        eventually(lambda: next(stream).number > 0)
        for words in ("first", "second", "third", "fourth"):
            client.post("/prompt", json={"prompt": words})
            picture = Image.open(io.BytesIO(client.get("/snapshot.jpg").data)).convert("RGB")
            assert picture.getpixel((30, 30)) == pytest.approx(colour_of(words), abs=6)


def test_a_newcomer_never_sees_words_that_were_replaced_while_nobody_watched(
    tmp_path: Path,
) -> None:
    with serving(tmp_path, lambda shot, channel: None) as client:
        client.get("/snapshot.jpg")
        eventually(lambda: client.get("/status").json["state"] == "resting")
        after = client.post("/prompt", json={"prompt": "new words"}).json["frame"]
        response = client.get("/stream", buffered=False)
        first = next(
            found for found in read_parts(response.response, BOUNDARY) if found.number
        )  # 0: a placeholder
        response.close()
    assert first.number > after


def test_two_channels_with_frames_of_one_number_each_send_their_own() -> None:
    cache, shot = PartCache(), Shot.single("words", 0)
    one = Frame(7, b"one", shot, 1.0, {}, "test")
    other = Frame(7, b"other", shot, 1.0, {}, "test")
    for _ in range(2):
        assert b"one" in cache(one)
        assert b"other" in cache(other)
    assert cache(other) is cache(other)
