"""Recording from the page: the button, the list, and files that other programs can play."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.page.desk import FIRST_PICTURE
from tests.sinks.pictures import times

pytestmark = pytest.mark.browser

RECORDING = "#record[aria-pressed=true]"
IDLE = "#record[aria-pressed=false]"
# What a browser's own page around a video shows of it, once it plays.
PLAYS = """() => {
    const video = document.querySelector('video');
    return video !== null && video.error === null && video.videoWidth > 0 && video.currentTime > 0;
}"""


@pytest.fixture(autouse=True)
def emptied(server) -> Iterator[None]:
    """No recording is left, neither in progress nor in the folder."""
    yield
    server.ask("POST", "/recording", {"on": False})
    for name in names(server):
        server.ask("DELETE", f"/recordings/{name}")


@pytest.fixture
def page(desk):
    page = desk.open()
    page.click("#recordings > summary")
    page.evaluate("document.activeElement.blur()")
    return page


def names(server):
    return [entry["name"] for entry in server.ask("GET", "/recordings")["recordings"]]


def recorded(server):
    return server.ask("GET", "/recording")


def record(page, server, eventually, frames=8):
    """A recording that is made with the key R; gives its name."""
    page.keyboard.press("r")
    page.wait_for_selector(RECORDING)
    eventually(lambda: recorded(server)["frames"] >= frames)
    page.keyboard.press("r")
    page.wait_for_selector(IDLE)
    eventually(lambda: recorded(server)["on"], False)
    return recorded(server)["name"]


def download(page, selector, folder: Path) -> Path:
    with page.expect_download() as started:
        page.click(selector)
    file = folder / started.value.suggested_filename
    started.value.save_as(file)
    return file


def test_the_button_shows_time_and_size_while_it_records(page, server, eventually):
    assert page.inner_text("#record") == "Record"
    page.click("#record")
    page.wait_for_selector(RECORDING)
    eventually(lambda: recorded(server)["bytes"] > 0)
    shown = r"\d+:\d\d\n[\d.]+ [kM]B"
    eventually(lambda: bool(re.fullmatch(shown, page.inner_text("#record").strip())))
    eventually(lambda: not page.inner_text("#record").startswith("0:00"))
    assert "0:0" in page.inner_text("#recordings-now")
    page.click("#record")
    page.wait_for_selector(IDLE)
    eventually(lambda: page.inner_text("#record"), "Record")
    assert recorded(server)["on"] is False


def test_another_page_sees_it_at_once(page, desk, server):
    other = desk.open()
    server.ask("POST", "/recording", {"on": True})
    for window in (page, other):
        window.wait_for_selector(RECORDING)
    other.click("#record")
    page.wait_for_selector(IDLE)


def test_a_recording_is_saved_and_played_in_a_tab(page, server, eventually, tmp_path):
    name = record(page, server, eventually)
    page.wait_for_selector("#recording-list li")
    assert page.inner_text(".recording-name a") == name
    file = download(page, "#recording-list a[download$='.mp4']", tmp_path)
    assert file.name == f"{name}.mp4"
    found = times(file)
    assert len(found) == recorded(server)["frames"]
    assert found == sorted(found)
    session = download(page, "#recording-list a[download$='.gz']", tmp_path)
    assert session.read_bytes()[:2] == b"\x1f\x8b"
    with page.expect_popup() as opened:
        page.click(".recording-name a")
    eventually(lambda: opened.value.evaluate(PLAYS))


def test_a_recording_in_progress_can_be_played(page, desk, server, eventually):
    server.ask("POST", "/recording", {"on": True})
    eventually(lambda: recorded(server)["bytes"] > 0)
    eventually(lambda: recorded(server)["seconds"] > 2)
    video = desk.window()
    video.goto(f"{server.url}/recordings/{recorded(server)['name']}.mp4")
    eventually(lambda: video.evaluate(PLAYS))
    assert recorded(server)["on"] is True


def test_a_recording_is_deleted_at_the_second_press(page, server, eventually):
    name = record(page, server, eventually)
    page.click("#recording-list button")
    assert page.inner_text("#recording-list button") == "Delete for good?"
    page.evaluate("document.activeElement.blur()")
    assert page.inner_text("#recording-list button") == "Delete"
    assert names(server) == [name]
    page.click("#recording-list button")
    page.click("#recording-list button")
    eventually(lambda: names(server), [])
    eventually(lambda: page.locator("#recording-list li").count(), 0)


def test_a_list_that_is_read_again_keeps_the_first_press(page, server, eventually):
    record(page, server, eventually)
    page.click("#recording-list button")
    page.evaluate("window.old = document.querySelector('#recording-list button')")
    page.evaluate("document.getElementById('recordings').dispatchEvent(new Event('toggle'))")
    eventually(lambda: page.evaluate("document.contains(window.old)"), False)
    assert page.inner_text("#recording-list button") == "Delete for good?"


def test_the_last_seconds_are_a_video(page, desk, eventually, tmp_path):
    file = download(page, "#clips [data-format=mp4]", tmp_path)
    assert re.fullmatch(r"clip-[\d-]+\.mp4", file.name)
    assert len(times(file)) > 1
    eventually(lambda: page.inner_text("#clip-say").startswith("MP4, "))
    video = desk.window()
    video.goto(file.as_uri())
    eventually(lambda: video.evaluate(PLAYS))


def test_the_last_seconds_are_an_animated_picture(page, eventually, tmp_path):
    file = download(page, "#clips [data-format=webp]", tmp_path)
    with Image.open(io.BytesIO(file.read_bytes())) as animation:
        assert animation.n_frames > 1
        for number in range(animation.n_frames):
            animation.seek(number)
            animation.load()
            assert animation.info["duration"] >= 50
    eventually(lambda: page.inner_text("#clip-say").startswith("WebP, "))


def test_a_folder_that_cannot_be_written_is_one_sentence(page, desk, server, eventually):
    folder = server.state_dir / "recordings"
    moved = folder.with_name("moved")
    if folder.exists():
        folder.rename(moved)
    folder.write_text("in the way")
    try:
        page.keyboard.press("r")
        eventually(lambda: "is not a folder" in page.inner_text("#message"))
        page.wait_for_selector(IDLE)
        desk.expect_network_report(507)
    finally:
        folder.unlink()
        if moved.exists():
            moved.rename(folder)


def test_a_watcher_neither_records_nor_sees_recordings(desk, server):
    token = json.loads((server.state_dir / "tokens.json").read_text())["watch"]
    page = desk.window(extra_http_headers={"X-Forwarded-For": "203.0.113.9"})  # not the owner
    page.goto(f"{server.url}/#{token}")
    page.wait_for_selector(FIRST_PICTURE)
    desk.expect_network_report(401)  # the first answer
    for control in ("#record", "#recordings"):
        assert not page.is_visible(control), control
    page.keyboard.press("r")
    for path in ("recording", "recordings", "clip"):
        status = page.evaluate("async (path) => (await fetch(path)).status", path)
        assert status == 403, path
    desk.tolerate_report("status of 403 ")
    assert recorded(server)["on"] is False
