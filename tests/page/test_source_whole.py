"""From the camera of a real Chromium to the source of a real server."""

from __future__ import annotations

import importlib.util
import io
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser

from tests.page.camera import another, as_file, halves, sides, write_camera
from tests.page.desk import FIRST_PICTURE, Desk
from tests.page.live_server import LiveServer
from tests.page.test_source import DROP, press

HAS_SOURCES = importlib.util.find_spec("turbostream.sources") is not None
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not HAS_SOURCES, reason="this program has no sources"),
]


@pytest.fixture
def desk(browser: Browser, server: LiveServer, tmp_path: Path) -> Iterator[Desk]:
    write_camera(tmp_path / "halves.mjpeg")
    plays = f"--use-file-for-fake-video-capture={tmp_path / 'halves.mjpeg'}"
    with another(browser, "--use-fake-ui-for-media-stream", plays) as seeing:
        desk = Desk(seeing, server)
        try:
            yield desk
        finally:
            desk.close()
            server.ask("PATCH", "/scene", {"source": "none", "fade_s": 0})
        assert desk.complaints() == []


def preview_of(server: LiveServer, token: str = "") -> np.ndarray | int:
    """The input picture as the server has it: [H, W, 3]; or the status of the refusal."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"{server.url}/source.jpg", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            picture = Image.open(io.BytesIO(answer.read())).convert("RGB")
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code
    return np.asarray(picture).astype(int)


def colours_of(server: LiveServer) -> str:
    found = preview_of(server)
    return f"no picture: {found}" if isinstance(found, int) else sides(found)


def test_the_camera_is_the_source_for_as_long_as_it_is_chosen(desk, server, eventually):
    page = desk.open()
    page.evaluate("document.getElementById('source').open = true")
    press(page, "camera")
    eventually(lambda: colours_of(server), "blue red")
    eventually(lambda: server.ask("GET", "/scene")["source"], "picture")
    eventually(lambda: server.ask("GET", "/source")["used"] > 2)
    page.uncheck("#source-mirror")
    eventually(lambda: colours_of(server), "red blue")
    refused = server.ask("GET", "/source")["refused"]
    assert refused == 0
    press(page, "none")
    eventually(lambda: server.ask("GET", "/scene")["source"], "none")
    eventually(lambda: colours_of(server), "no picture: 404")


def test_a_dropped_picture_is_the_source(desk, server, eventually):
    page = desk.open()
    page.evaluate(DROP, [list(as_file(halves(300, 900))), "halves.jpg", "image/jpeg"])
    eventually(lambda: colours_of(server), "red blue")
    assert server.ask("GET", "/scene")["source"] == "picture"


def test_feedback_paints_from_the_frame_before(desk, server, eventually):
    page = desk.open()
    page.evaluate("document.getElementById('source').open = true")
    press(page, "feedback")
    eventually(lambda: server.ask("GET", "/scene")["source"], "feedback")
    before = int(page.get_attribute("#picture", "data-frame"))
    eventually(lambda: int(page.get_attribute("#picture", "data-frame")) > before + 3)
    assert page.locator("#source-moves").is_visible()


def test_a_view_only_visitor_has_no_panel_and_gets_no_source(desk, server, eventually):
    owner = desk.open()
    owner.evaluate("document.getElementById('source').open = true")
    press(owner, "camera")
    eventually(lambda: colours_of(server), "blue red")
    token = json.loads((server.state_dir / "tokens.json").read_text())["watch"]
    page = desk.window(extra_http_headers={"X-Forwarded-For": "203.0.113.9"})  # not the owner
    page.goto(f"{server.url}/#{token}")
    page.wait_for_selector(FIRST_PICTURE)
    desk.expect_network_report(401)  # the first answer
    eventually(lambda: page.locator(".may-watch").is_visible())
    assert page.locator("#source").is_hidden()
    page.evaluate(DROP, [list(as_file(halves())), "halves.jpg", "image/jpeg"])
    seen = page.evaluate("""async () => {
        const [status, picture] = await Promise.all([fetch('status'), fetch('source.jpg')]);
        return [(await status.json()).source, picture.status];
    }""")
    desk.expect_network_report(403)
    assert seen == [{"kind": "picture"}, 403]
    assert page.locator("#capturing").is_hidden()
