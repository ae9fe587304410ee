"""The routes: what they answer, what they refuse, and that a refusal changes nothing."""

from __future__ import annotations

import io
import logging

import pytest
from flask.testing import FlaskClient
from PIL import Image

from tests.engines import ShortReader, colour_of
from tests.web.answers import error_of
from tests.web.reader import read_parts
from turbostream.web.context import AppContext
from turbostream.web.live.multipart import BOUNDARY


def test_the_page_carries_the_plain_picture_and_the_form(client: FlaskClient) -> None:
    html = client.get("/").get_data(as_text=True)
    assert "<img" in html
    assert 'src="stream"' in html
    assert 'action="prompt"' in html
    assert "first words" in html


def test_the_stream_is_multipart_and_never_cached(client: FlaskClient) -> None:
    response = client.get("/stream", buffered=False)
    assert response.headers["Content-Type"] == f"multipart/x-mixed-replace;boundary={BOUNDARY}"
    assert "no-store" in response.headers["Cache-Control"]
    assert response.headers["X-Accel-Buffering"] == "no"
    response.close()


def test_the_stream_shows_rising_frames(client: FlaskClient) -> None:
    response = client.get("/stream", buffered=False)
    numbers = []
    for found in read_parts(response.response, BOUNDARY):
        numbers.append(found.number)
        if len(set(numbers) - {0}) > 10:
            break
    response.close()
    assert numbers == sorted(numbers)


def test_a_script_can_read_the_same_bytes_under_another_type(client: FlaskClient) -> None:
    response = client.get("/stream", headers={"Accept": "application/octet-stream"}, buffered=False)
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert next(read_parts(response.response, BOUNDARY)).jpeg
    response.close()


def test_a_viewer_counts_only_while_the_stream_is_read(
    client: FlaskClient, context: AppContext
) -> None:
    client.head("/stream")
    assert client.get("/status").json["viewers"] == 0
    response = client.get("/stream", buffered=False)
    stream = read_parts(response.response, BOUNDARY)
    next(stream)
    assert client.get("/status").json["viewers"] == 1
    assert context.channel.watchers == 1
    stream.close()  # type: ignore[attr-defined]
    response.close()
    assert client.get("/status").json["viewers"] == 0
    assert context.channel.watchers == 0


def test_a_viewer_over_the_limit_is_told_when_to_retry(client: FlaskClient) -> None:
    watching = [client.get("/stream", buffered=False) for _ in range(2)]
    streams = [read_parts(response.response, BOUNDARY) for response in watching]
    for stream in streams:
        next(stream)
    refused = client.get("/stream")
    assert "MAX_VIEWERS" in error_of(refused, 503)
    assert refused.headers["Retry-After"] == "5"
    for response in watching:
        response.close()


@pytest.mark.parametrize("fps", ["0", "-1", "fast", "nan", "1e9"])
def test_a_wrong_rate_is_refused(client: FlaskClient, fps: str) -> None:
    assert "fps" in error_of(client.get(f"/stream?fps={fps}"), 400)


@pytest.mark.parametrize("query", ["?fps=", "?fps", "?fps=%20", "?fps=&width=640"])
def test_a_rate_without_a_value_is_no_limit(client: FlaskClient, query: str) -> None:
    response = client.get(f"/stream{query}", buffered=False)
    assert response.status_code == 200
    stream = read_parts(response.response, BOUNDARY)
    assert [next(stream).number for _ in range(20)][-1] >= 10
    response.close()


def test_a_prompt_sets_the_words_of_every_later_frame(
    client: FlaskClient, context: AppContext
) -> None:
    answer = client.post("/prompt", json={"prompt": " new words "})
    assert answer.status_code == 200
    assert answer.json["status"] == "ok"
    assert answer.json["prompt"] == "new words"
    picture = client.get("/snapshot.jpg")
    assert int(picture.headers["X-Frame-Id"]) > answer.json["frame"]
    pixel = Image.open(io.BytesIO(picture.data)).convert("RGB").getpixel((30, 30))
    assert pixel == pytest.approx(colour_of("new words"), abs=6)


@pytest.mark.parametrize("context", [ShortReader], indirect=True)
def test_what_the_model_does_not_read_of_a_prompt_is_in_every_answer_about_it(
    client: FlaskClient, context: AppContext
) -> None:
    client.get("/snapshot.jpg")  # so the engine is open
    warning = "The model does not read this prompt from “on blue” on; shorten it."
    said = {"dropped": "on blue", "warning": warning}
    prompt = {"prompt": "a red star on blue"}
    answers = (
        client.post("/prompt", json=prompt),
        client.patch("/scene", json=prompt),
        client.get("/status"),
    )
    for answer in answers:
        assert said.items() <= answer.json.items()
    assert warning in client.get("/").get_data(as_text=True)

    long = client.post("/prompt", json={"prompt": "a red star " + "and more " * 99}).json
    assert long["dropped"].startswith("and more and")
    assert len(long["warning"]) < 100

    for answer in (
        client.post("/prompt", json={"prompt": "a red star"}),
        client.patch("/scene", json={"speed": 0.2}),
        client.get("/status"),
    ):
        assert not {"dropped", "warning"} & set(answer.json)


def test_a_form_without_a_script_works_and_comes_back_to_the_page(
    client: FlaskClient, context: AppContext
) -> None:
    answer = client.post("/prompt", data={"prompt": "from a form"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "./")
    assert context.channel.scene.prompt == "from a form"


def test_the_guides_log_lines_are_there(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        client.post("/prompt", json={"prompt": "x" * 300})
        response = client.get("/stream", buffered=False)
        next(read_parts(response.response, BOUNDARY))
        response.close()
    lines = [record.getMessage() for record in caplog.records]
    assert "[prompt] Request received" in lines
    raw = next(line for line in lines if line.startswith("[prompt] Raw data received: b'"))
    assert len(raw) <= len("[prompt] Raw data received: ") + 200
    assert "[prompt] => Successfully set to: " + "x" * 300 in lines
    assert "[stream] Client connected." in lines
    assert "[stream] Client disconnected." in lines


NESTED = b'{"prompt":' * 10_000 + b"1" + b"}" * 10_000
JSON = "application/json"
BAD_PROMPTS = [
    ("empty words", b'{"prompt": ""}', JSON, 400),
    ("blanks", b'{"prompt": "  \\n "}', JSON, 400),
    ("too long", b'{"prompt": "%s"}' % (b"x" * 1001), JSON, 400),
    ("a number", b'{"prompt": 7}', JSON, 400),
    ("null", b'{"prompt": null}', JSON, 400),
    ("a list", b'{"prompt": ["red"]}', JSON, 400),
    ("missing", b"{}", JSON, 400),
    ("doubled", b'{"prompt": "a", "prompt": "b"}', JSON, 400),
    ("unknown", b'{"prompt": "a", "colour": "b"}', JSON, 400),
    ("broken JSON", b'{"prompt": "a"', JSON, 400),
    ("no JSON", b"red", JSON, 400),
    ("not an object", b'"red"', JSON, 400),
    ("NaN", b'{"prompt": NaN}', JSON, 400),
    ("not UTF-8", b'{"prompt": "\xff\xfe"}', JSON, 400),
    ("lone surrogate", b'{"prompt": "\\ud800"}', JSON, 400),
    ("NUL", b'{"prompt": "a\\u0000b"}', JSON, 400),
    ("escape", b'{"prompt": "a\\u001bb"}', JSON, 400),
    ("nothing", b"", JSON, 400),
    ("ten megabytes", b'{"prompt": "%s"}' % (b"x" * 10_000_000), JSON, 413),
    ("nested", NESTED[:60_000], JSON, 400),
    ("deep", b"[" * 10_000 + b"]" * 10_000, JSON, 400),
    ("plain text", b"red", "text/plain", 415),
    ("no type", b'{"prompt": "red"}', "", 415),
    ("form: doubled", b"prompt=a&prompt=b", "application/x-www-form-urlencoded", 400),
    ("form: missing", b"words=a", "application/x-www-form-urlencoded", 400),
    ("form: more", b"prompt=a&b=c", "application/x-www-form-urlencoded", 400),
    ("form: not UTF-8", b"prompt=%ff%fe", "application/x-www-form-urlencoded", 400),
]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [row[1:] for row in BAD_PROMPTS],
    ids=[row[0] for row in BAD_PROMPTS],
)
def test_a_bad_prompt_is_refused_and_changes_nothing(
    client: FlaskClient,
    context: AppContext,
    caplog: pytest.LogCaptureFixture,
    body: bytes,
    kind: str,
    status: int,
) -> None:
    before = context.channel.last_change
    error_of(client.post("/prompt", data=body, content_type=kind), status)
    assert context.channel.last_change is before
    assert not [record for record in caplog.records if record.exc_info], "no traceback in the log"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/prompt", 405), ("POST", "/stream", 405), ("GET", "/nothing", 404),
     ("PUT", "/scene", 405), ("POST", "/stream/nobody/shown", 400)],
)  # fmt: skip
def test_a_wrong_method_or_address_gets_the_same_shape(
    client: FlaskClient, method: str, path: str, status: int
) -> None:
    error_of(client.open(path, method=method), status)


def test_a_patch_changes_only_what_it_names(client: FlaskClient) -> None:
    before = client.patch("/scene", json={"speed": 0}).json
    after = client.patch("/scene", json={"brightness": 0.5}).json
    assert before is not None
    assert after["beat"] >= before["beat"]
    assert after == {
        **before,
        "brightness": 0.5,
        "revision": before["revision"] + 1,
        "beat": after["beat"],
    }
    now = client.get("/scene").json
    assert {**now, "frame": after["frame"], "beat": after["beat"]} == after


def test_a_wrong_patch_changes_nothing(client: FlaskClient, context: AppContext) -> None:
    before = context.channel.last_change
    for patch in (
        {"speed": 9}, {"motion": "spin"}, {"mood": 1}, {"seed": True}, {"bpm": 0}, {"bpm": "120"},
        {"source": "camera"}, {"strength": -1}, {"strength": 2}, {"zoom": 0},
        {"bpm": float("nan")}, {"modulators": [{"parameter": "seed"}]},
    ):  # fmt: skip
        error_of(client.patch("/scene", json=patch), 400)
    assert context.channel.last_change is before


def test_a_snapshot_wakes_a_resting_stream(client: FlaskClient, context: AppContext) -> None:
    first = client.get("/snapshot.jpg")
    second = client.get("/snapshot.jpg")
    assert int(second.headers["X-Frame-Id"]) > int(first.headers["X-Frame-Id"])
    assert context.channel.watchers == 0


def test_the_status_holds_every_number_worth_seeing(
    client: FlaskClient, context: AppContext
) -> None:
    client.get("/snapshot.jpg")
    status = client.get("/status").json
    assert status["state"] in ("streaming", "resting")
    assert status["model"] == {"id": "demo", "demo": True}
    assert status["engine"]["fingerprint"] == "colour"
    assert status["prompt"] == "first words"
    assert status["settings"]["TARGET_FPS"] == "100"
    assert {"fps", "viewers", "stage_ms", "prompt_to_picture_ms", "guard"} <= set(status)


def test_healthz_is_well_once_a_frame_was_painted(client: FlaskClient) -> None:
    client.get("/snapshot.jpg")
    assert client.get("/healthz").status_code == 200
