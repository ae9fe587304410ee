"""`POST /preview`: the picture that a patch would give, while nothing changes; and patches that the
engine cannot paint, here and in the routes that change the scene."""

from __future__ import annotations

import io
import threading
from concurrent.futures import Future

import gevent
import pytest
from flask.testing import FlaskClient
from PIL import Image

from tests.engines import ColourEngine, NoMixes, colour_of
from tests.stream.running import PATIENCE_S, wait_until
from tests.web.answers import error_of
from turbostream.stream.capabilities import Capabilities
from turbostream.stream.engine_api import Picture
from turbostream.stream.health import FAILURES_BEFORE_REOPEN
from turbostream.stream.scheduler import UNCHANGED
from turbostream.stream.shot import InputPicture, Shot, ShotError
from turbostream.stream.side_jobs import MOST_WAITING
from turbostream.stream.state import State
from turbostream.web.context import AppContext
from turbostream.web.routes import preview


class Fussy(ColourEngine):
    """Declares that it cannot paint "blue", fails at "broken", and waits at "slow"."""

    class Declared(Capabilities):
        def check(self, shot: Shot) -> None:
            if shot.prompt == "blue":
                raise ShotError("This engine has no blue; choose another colour.")

    capabilities = Declared()
    newest: Fussy

    def __init__(self) -> None:
        super().__init__(self._meet)
        self.entered, self.let_go = threading.Event(), threading.Event()
        Fussy.newest = self

    def _meet(self, shot: Shot) -> None:
        self.capabilities.check(shot)
        if shot.prompt == "broken":
            raise RuntimeError("no such colour")
        if shot.prompt == "slow":
            self.entered.set()
            assert self.let_go.wait(PATIENCE_S)


@pytest.fixture
def resting(context: AppContext) -> AppContext:
    wait_until(lambda: context.supervisor.status.state is State.RESTING)
    return context


def colour_in(jpeg: bytes) -> object:
    return Image.open(io.BytesIO(jpeg)).convert("RGB").getpixel((30, 30))


def test_a_preview_is_the_picture_of_the_patched_scene_and_changes_nothing(
    client: FlaskClient, resting: AppContext
) -> None:
    before, status = resting.channel.last_change, client.get("/status").json
    answer = client.post("/preview", json={"prompt": " other words ", "speed": 2})
    assert answer.status_code == 200
    assert answer.content_type == "image/jpeg"
    assert "no-store" in answer.headers["Cache-Control"]
    assert float(answer.headers["X-Timestamp"]) > 0
    assert colour_in(answer.data) == pytest.approx(colour_of("other words"), abs=6)
    assert resting.channel.last_change is before
    assert client.get("/status").json["frames"] == status["frames"] == 0
    assert resting.channel.last_number == 0


def test_a_patch_of_nothing_shows_the_scene_and_a_fade_is_accepted(
    client: FlaskClient, resting: AppContext
) -> None:
    plain = client.post("/preview", json={})
    assert colour_in(plain.data) == pytest.approx(colour_of("first words"), abs=6)
    faded = client.post("/preview", json={"prompt": "x", "fade_s": 60, "easing": "linear"})
    assert colour_in(faded.data) == pytest.approx(colour_of("x"), abs=6)


def painted_by(context: AppContext) -> list[Shot]:
    """The shots that the supervisor is asked for from now on."""
    painted: list[Shot] = []
    paint = context.supervisor.paint

    def spied(shot: Shot) -> Future[Picture]:
        painted.append(shot)
        return paint(shot)

    context.supervisor.paint = spied  # type: ignore[method-assign]
    return painted


def test_the_shot_is_the_one_that_a_change_would_give(
    client: FlaskClient, resting: AppContext
) -> None:
    painted = painted_by(resting)
    patch = {"seed": 77, "motion": "hold", "prompt": "still"}
    assert client.post("/preview", json=patch).status_code == 200
    scene = resting.channel.change(patch).scene
    assert painted == [scene.shot_at(scene.anchored_at, 1)]


def test_a_preview_starts_from_the_source_that_is_given(
    client: FlaskClient, resting: AppContext
) -> None:
    painted = painted_by(resting)
    patch = {"source": "picture", "strength": 0.2}
    assert client.post("/preview", json=patch).status_code == 200
    resting.channel.give_picture("a" * 64)
    assert client.post("/preview", json=patch).status_code == 200
    assert [(shot.source, shot.strength) for shot in painted] == [
        (None, None), (InputPicture("a" * 64), 0.2),
    ]  # fmt: skip


@pytest.mark.parametrize("context", [NoMixes], indirect=True)
@pytest.mark.parametrize("source", ["picture", "feedback"])
def test_an_engine_without_sources_refuses_them_before_there_is_a_picture(
    client: FlaskClient, resting: AppContext, source: str
) -> None:
    before = resting.channel.last_change
    for answer in (
        client.patch("/scene", json={"source": source}),
        client.patch("/parameters", json={"source": source}),
        client.post("/preview", json={"source": source}),
    ):
        assert "starts from noise only" in error_of(answer, 400)
    assert resting.channel.last_change is before


def test_a_snapshot_of_an_unchanged_source_is_a_frame_of_its_own(
    client: FlaskClient, resting: AppContext
) -> None:
    channel = resting.channel
    channel.give_picture("a" * 64)
    channel.change({"source": "picture", "motion": "hold"})
    with channel.watched():
        wait_until(lambda: resting.supervisor.status.message == UNCHANGED)
        before = channel.last_number
        answer = client.get("/snapshot.jpg")
        assert answer.status_code == 200
        assert int(answer.headers["X-Frame-Id"]) == before + 1
        assert client.get("/healthz").status_code == 200
        wait_until(lambda: client.get("/status").json["state"] == "resting")


@pytest.mark.parametrize(
    "body",
    [{"prompt": ""}, {"speed": 99}, {"colour": "red"}, {"seed": -1}, {"motion": 3}, [], None],
    ids=str,
)
def test_a_wrong_patch_is_refused(client: FlaskClient, resting: AppContext, body: object) -> None:
    before = resting.channel.last_change
    error_of(client.post("/preview", json=body), 400)
    assert resting.channel.last_change is before


@pytest.mark.parametrize("context", [Fussy], indirect=True)
def test_what_the_engine_cannot_paint_is_refused_and_costs_no_frame(
    client: FlaskClient, resting: AppContext
) -> None:
    before = resting.channel.last_change
    for _ in range(FAILURES_BEFORE_REOPEN + 1):
        for answer in (
            client.post("/prompt", json={"prompt": "blue"}),
            client.post("/prompt", data={"prompt": "blue"}),
            client.patch("/scene", json={"prompt": "blue"}),
            client.post("/preview", json={"prompt": "blue"}),
        ):
            assert "no blue" in error_of(answer, 400)
    assert resting.channel.last_change is before
    assert client.get("/snapshot.jpg").status_code == 200
    assert client.get("/status").json["failed_frames"] == 0
    assert not Fussy.newest.closed


@pytest.mark.parametrize("context", [Fussy], indirect=True)
def test_a_preview_that_fails_leaves_the_engine_as_it_is(
    client: FlaskClient, resting: AppContext
) -> None:
    for _ in range(FAILURES_BEFORE_REOPEN + 1):
        answer = client.post("/preview", json={"prompt": "broken"})
        assert "RuntimeError" in error_of(answer, 503)
        assert answer.headers["Retry-After"] == "2"
    assert client.get("/snapshot.jpg").status_code == 200
    assert not Fussy.newest.closed


@pytest.mark.parametrize("context", [Fussy], indirect=True)
def test_while_a_preview_waits_other_requests_are_answered_and_its_time_is_limited(
    client: FlaskClient, resting: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "WAIT_S", 0.3)
    app, answered = client.application, []
    try:
        waiting = gevent.spawn(app.test_client().post, "/preview", json={"prompt": "slow"})
        while not Fussy.newest.entered.is_set():
            gevent.sleep(0.002)
        while not waiting.ready():
            answered.append(client.get("/scene").status_code)
            gevent.sleep(0.01)
    finally:
        Fussy.newest.let_go.set()
    assert answered
    assert "within 0.3 s" in error_of(waiting.get(), 503)


@pytest.mark.parametrize("context", [Fussy], indirect=True)
def test_a_full_queue_and_a_stopping_program_are_answered_with_a_sentence(
    client: FlaskClient, resting: AppContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = [resting.supervisor.paint(Shot.single("slow", 1)) for _ in range(MOST_WAITING)]
    try:
        answer = client.post("/preview", json={"prompt": "red"})
        assert "try again in a moment" in error_of(answer, 503)
        assert answer.headers["Retry-After"] == "2"
        assert full.pop().cancel()
        monkeypatch.setattr(resting, "stopping", True)
        assert "is stopping" in error_of(client.post("/preview", json={"prompt": "red"}), 503)
    finally:
        for job in full:
            job.cancel()
        Fussy.newest.let_go.set()


def test_without_an_engine_the_answer_says_why(client: FlaskClient, context: AppContext) -> None:
    assert context.supervisor.stop(timeout_s=PATIENCE_S)
    answer = client.post("/preview", json={})
    assert error_of(answer, 503).startswith("No engine is open: ")
    assert answer.headers["Retry-After"] == "2"
