"""Recordings over HTTP; the recorder is a fake one, whose files are real."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import pytest
from flask.testing import FlaskClient

from tests.stream.running import wait_until
from tests.web.answers import error_of
from turbostream.stream.recording import (
    NoSuchRecording,
    RecordingConflict,
    RecordingEntry,
    RecordingError,
    RecordingStatus,
)
from turbostream.web.context import AppContext
from turbostream.web.live import file_body

CONTENT = bytes(range(256)) * 4096  # four pieces of a file body
PARTS = {
    "bytes=0-": (0, len(CONTENT)),
    "bytes=0-0": (0, 1),
    "bytes=100-300000": (100, 300_001),
    "bytes=-5": (len(CONTENT) - 5, len(CONTENT)),
    "bytes=1048575-9999999": (len(CONTENT) - 1, len(CONTENT)),
}


class FakeRecorder:
    """Records nothing, and lists what is in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.on = False
        self.fault: Exception | None = None
        self.before: Callable[[], object] = lambda: None  # every call that may wait for the disk

    def start(self) -> RecordingStatus:
        self.before()
        if self.fault is not None:
            raise self.fault
        if self.on:
            raise RecordingConflict("It is being recorded already.")
        self.on = True
        return self.status()

    def stop(self) -> RecordingStatus:
        self.before()
        self.on = False
        return self.status()

    def status(self) -> RecordingStatus:
        return {
            "on": self.on,
            "name": "take",
            "seconds": 1.5,
            "bytes": 1000,
            "frames": 40,
            "dropped": 0,
            "message": "",
        }

    def recordings(self) -> list[RecordingEntry]:
        self.before()
        return [
            {"name": file.stem, "seconds": 1.0, "bytes": 1, "frames": 1, "session": False}
            for file in sorted(self.folder.glob("*.mp4"))
        ]

    def path(self, name: str) -> Path:
        self.before()
        if name not in ("take.mp4", "take.jsonl.gz", "take.sources"):
            raise NoSuchRecording("There is no such recording.")
        return self.folder / name

    def delete(self, name: str) -> None:
        self.before()
        if self.on and name == "take":
            raise RecordingConflict("It is being recorded.")
        self.path(f"{name}.mp4").unlink()


@pytest.fixture
def recorder(context: AppContext, tmp_path: Path) -> FakeRecorder:
    folder = tmp_path / "recordings"
    folder.mkdir()
    (folder / "take.mp4").write_bytes(CONTENT)
    recorder = FakeRecorder(folder)
    context.recorder = recorder
    return recorder


def sent(client: FlaskClient, file: str = "take.mp4", **options: Any) -> Any:
    """The answer to a request for a file, read to its end and closed as a server does."""
    return client.get(f"/recordings/{file}", buffered=True, **options)


def test_a_recording_is_started_and_stopped(
    client: FlaskClient, context: AppContext, recorder: FakeRecorder
) -> None:
    assert client.get("/recording").json["on"] is False
    before = context.channel.revision
    started = client.post("/recording", json={"on": True})
    assert (started.status_code, started.json) == (200, recorder.status())
    assert context.channel.revision > before, "controllers see it"
    assert client.get("/status").json["recording"]["on"] is True
    error_of(client.post("/recording", json={"on": True}), 409)
    assert client.post("/recording", json={"on": False}).json["on"] is False
    assert client.get("/status").json["recording"]["on"] is False


@pytest.mark.parametrize("body", [{}, {"on": "yes"}, {"on": 1}, {"on": True, "fps": 3}, [], None])
def test_a_wrong_request_starts_nothing(
    client: FlaskClient, recorder: FakeRecorder, body: object
) -> None:
    error_of(client.post("/recording", json=body), 400)
    assert not recorder.on


def test_a_disk_that_cannot_be_written_is_one_sentence(
    client: FlaskClient, recorder: FakeRecorder
) -> None:
    recorder.fault = RecordingError("The disk is full; make room.")
    assert error_of(client.post("/recording", json={"on": True}), 507) == str(recorder.fault)
    assert client.get("/recording").json["on"] is False


def test_a_controller_starts_and_stops_it(client: FlaskClient, recorder: FakeRecorder) -> None:
    assert client.patch("/parameters", json={"record": "on"}).status_code == 200
    wait_until(lambda: recorder.on)
    client.patch("/parameters", json={"record": "on"})  # no conflict
    client.patch("/parameters", json={"record": False})
    wait_until(lambda: not recorder.on)


def test_the_newest_value_of_a_controller_applies(
    client: FlaskClient, context: AppContext, recorder: FakeRecorder
) -> None:
    held = threading.Event()
    recorder.before = held.wait
    for value in ("on", "off", "on", "off"):  # the first one waits for the disk
        context.desk.apply({"record": value})
    held.set()
    wait_until(lambda: "record switch" not in {it.name for it in threading.enumerate()})
    assert not recorder.on


def test_a_controller_can_record_after_the_recorder_has_failed(
    client: FlaskClient, recorder: FakeRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    recorder.fault = RuntimeError("can't start new thread")
    client.patch("/parameters", json={"record": "on"})
    wait_until(lambda: "[record] the recorder failed." in caplog.text)
    recorder.fault = None
    client.patch("/parameters", json={"record": "on"})
    wait_until(lambda: recorder.on)


def test_without_a_recorder_each_request_gets_one_sentence(client: FlaskClient) -> None:
    error_of(client.get("/recording"), 503)
    error_of(client.post("/recording", json={"on": True}), 503)
    error_of(client.get("/recordings"), 503)
    error_of(client.get("/recordings/take.mp4"), 503)
    error_of(client.delete("/recordings/take"), 503)
    error_of(client.patch("/parameters", json={"record": "on"}), 400)
    assert client.get("/status").json["recording"] is None


def test_recordings_are_listed_and_deleted(client: FlaskClient, recorder: FakeRecorder) -> None:
    assert [it["name"] for it in client.get("/recordings").json["recordings"]] == ["take"]
    recorder.on = True
    error_of(client.delete("/recordings/take"), 409)
    recorder.on = False
    error_of(client.delete("/recordings/other"), 404)
    assert client.delete("/recordings/take").status_code == 204
    assert client.get("/recordings").json == {"recordings": []}
    error_of(client.get("/recordings/take.mp4"), 404)


def test_a_video_is_sent_whole(client: FlaskClient, recorder: FakeRecorder) -> None:
    answer = sent(client)
    assert (answer.status_code, answer.data) == (200, CONTENT)
    assert answer.content_type == "video/mp4"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.content_length == len(CONTENT)


def test_a_session_is_a_file_and_not_an_encoding(
    client: FlaskClient, recorder: FakeRecorder
) -> None:
    (recorder.folder / "take.jsonl.gz").write_bytes(b"compressed")
    answer = sent(client, file="take.jsonl.gz")
    assert (answer.data, answer.content_type) == (b"compressed", "application/gzip")
    assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize("wanted", PARTS)
def test_a_range_is_sent(client: FlaskClient, recorder: FakeRecorder, wanted: str) -> None:
    start, stop = PARTS[wanted]
    answer = sent(client, headers={"Range": wanted})
    assert (answer.status_code, answer.data) == (206, CONTENT[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(CONTENT)}"
    assert answer.content_length == stop - start


@pytest.mark.parametrize("wanted", ["bytes=0-1,5-6", "lines=0-1", "bytes=5-2", "bytes=x", "-"])
def test_a_range_that_is_not_understood_is_ignored(
    client: FlaskClient, recorder: FakeRecorder, wanted: str
) -> None:
    answer = sent(client, headers={"Range": wanted})
    assert (answer.status_code, answer.data) == (200, CONTENT)


def test_a_range_behind_the_end_is_refused(client: FlaskClient, recorder: FakeRecorder) -> None:
    answer = sent(client, headers={"Range": "bytes=1048576-"})
    error_of(answer, 416)
    assert answer.headers["Content-Range"] == "bytes */1048576"


def test_a_changed_file_is_sent_whole_to_those_who_hold_a_part(
    client: FlaskClient, recorder: FakeRecorder
) -> None:
    etag = sent(client).headers["ETag"]
    headers = {"Range": "bytes=0-9", "If-Range": etag}
    assert sent(client, headers=headers).status_code == 206
    (recorder.folder / "take.mp4").write_bytes(b"other")
    answer = sent(client, headers=headers)
    assert (answer.status_code, answer.data) == (200, b"other")


def test_a_growing_file_is_sent_as_far_as_it_reached(
    client: FlaskClient, recorder: FakeRecorder
) -> None:
    answer = client.get("/recordings/take.mp4")
    with (recorder.folder / "take.mp4").open("ab") as file:
        file.write(b"more")
    assert answer.content_length == len(CONTENT)
    assert answer.data == CONTENT
    rest = sent(client, headers={"Range": f"bytes={len(CONTENT)}-"})
    assert (rest.status_code, rest.data) == (206, b"more")


def test_the_head_of_a_file_is_sent_without_reading_it(
    client: FlaskClient, recorder: FakeRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_body.os, "pread", None)
    answer = client.head("/recordings/take.mp4")
    assert (answer.status_code, answer.content_length) == (200, len(CONTENT))


def test_every_file_is_closed(client: FlaskClient, recorder: FakeRecorder) -> None:
    def descriptors() -> list[str]:
        links = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
        folder = str(recorder.folder)
        return [target for it in links if (target := _target(it)).startswith(folder)]

    client.get("/recordings/take.mp4").close()
    client.head("/recordings/take.mp4").close()
    sent(client, headers={"Range": "bytes=99999999-"}).close()
    client.get("/recordings/take.mp4").close()  # the client has left
    deadline = time.monotonic() + 30
    while left := descriptors():
        assert time.monotonic() < deadline, left
        gevent.sleep(0.01)  # the loop has them closed


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


@pytest.mark.parametrize("name", ["..%2Fscene-0.json", "%2E%2E", "take", "take.txt", "%00"])
def test_only_files_of_recordings_are_sent(
    client: FlaskClient, recorder: FakeRecorder, name: str
) -> None:
    error_of(client.get(f"/recordings/{name}"), 404)
    error_of(client.delete(f"/recordings/{name}.."), 404)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink(__file__, path)])
def test_what_is_no_regular_file_is_not_sent(
    client: FlaskClient, recorder: FakeRecorder, make: Callable[[Path], object]
) -> None:
    file = recorder.folder / "take.mp4"
    file.unlink()
    make(file)
    answer = client.get("/recordings/take.mp4")
    assert error_of(answer, answer.status_code)
    assert answer.status_code in (404, 503)


def test_the_loop_goes_on_while_the_disk_is_slow(
    client: FlaskClient, recorder: FakeRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    turned, turns = threading.Event(), [0]
    read = os.pread

    def turn() -> None:
        while not turned.is_set():
            turns[0] += 1
            if turns[0] % 20 == 0:
                turned.set()
            gevent.sleep(0)

    def after_turns(*arguments: Any) -> bytes:
        assert turned.wait(30), "the loop stands still"
        turned.clear()
        return read(*arguments)

    monkeypatch.setattr(file_body.os, "pread", after_turns)
    for path in ("/recordings", "/recordings/take.mp4"):
        turned.clear()
        recorder.before = lambda: turned.wait(30) or pytest.fail("the loop stands still")
        gevent.spawn(turn)
        if path.endswith(".mp4"):
            gevent.spawn_later(0.01, turn)
        assert client.get(path, headers={"Range": "bytes=0-9"}).status_code in (200, 206)
        turned.set()


def test_only_an_owner_may_use_them(
    client: FlaskClient, context: AppContext, recorder: FakeRecorder
) -> None:
    context.clip = lambda seconds, form: b"clip"
    asked = [
        ("GET", "/recording"),
        ("POST", "/recording"),
        ("GET", "/recordings"),
        ("GET", "/recordings/take.mp4"),
        ("GET", "/recordings/take.sources"),
        ("DELETE", "/recordings/take"),
        ("GET", "/clip"),
    ]
    elsewhere: dict[str, Any] = {"environ_overrides": {"REMOTE_ADDR": "192.0.2.7"}}
    watcher = {"Authorization": f"Bearer {context.tokens.watch}"}
    for method, path in asked:
        answer = client.open(path, method=method, json={"on": True}, **elsewhere)
        error_of(answer, 401)
        answer = client.open(path, method=method, json={"on": True}, headers=watcher, **elsewhere)
        error_of(answer, 403)
    assert client.get("/status", headers=watcher, **elsewhere).json["recording"] is None
    assert not recorder.on
