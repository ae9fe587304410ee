"""Behind a proxy that serves the program under a prefix, which it strips: /proxy/8000/."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hold.test_nginx import FULL, NGINX, nginx
from tests.page.conftest import FIRST_PICTURE
from tests.page.test_picture import frame

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(NGINX).exists(), reason="needs nginx"),
]
PREFIX = "/proxy/8000/"


@pytest.fixture
def prefixed(desk: Any, tmp_path: Path) -> Iterator[str]:
    """The page's address through a bare proxy, to which everybody is the owner."""
    with nginx(tmp_path / "nginx", desk.server.port, at=PREFIX) as port:
        yield f"http://127.0.0.1:{port}{PREFIX}"


def test_the_page_under_a_prefix_shows_the_stream_and_sends_words(
    desk, server, prefixed, pixels, eventually
):
    page = desk.window()
    asked = []
    page.on("response", lambda it: asked.append((it.status, it.url)))
    page.goto(prefixed)
    page.wait_for_selector(FIRST_PICTURE)
    page.keyboard.type("a red circle")
    eventually(lambda: server.ask("GET", "/status")["prompt"], "a red circle")
    page.click("#hold")
    eventually(lambda: server.ask("GET", "/scene")["motion"], "hold")
    before = frame(page)
    eventually(lambda: frame(page) > before + 20)  # which takes reports that arrive
    page.click("#clean")
    assert page.url == f"{prefixed}?clean"
    page.keyboard.press("Escape")
    assert page.url == prefixed
    assert page.evaluate("getComputedStyle(document.querySelector('main')).display") == "grid"
    with page.expect_download() as saved:
        page.click("text=Save picture")
    assert saved.value.path().read_bytes()[:2] == b"\xff\xd8"
    assert {status for status, _ in asked} == {200}
    assert all(url.startswith(prefixed) for _, url in asked if url.startswith("http"))


def test_a_window_with_a_stream_of_its_own_works_under_a_prefix_too(desk, prefixed, eventually):
    page = desk.alone()
    reports = []
    page.on("response", lambda it: reports.append(it.status) if "/shown" in it.url else None)
    page.goto(prefixed)
    eventually(lambda: len(reports) > 5)
    assert set(reports) == {204}


def test_without_scripts_the_form_comes_back_to_the_page_under_the_prefix(
    desk, prefixed, eventually
):
    page = desk.window(java_script_enabled=False)
    page.goto(prefixed, wait_until="commit")
    page.wait_for_selector("img.plain")
    page.fill("#prompt", "a circle on a red background")
    page.click("text=Set Prompt", no_wait_after=True)
    eventually(lambda: page.text_content("#showing"), "a circle on a red background")
    assert page.url == prefixed
    assert page.get_attribute("#save", "href") == "snapshot.jpg"


@pytest.mark.parametrize("path", ["", "snapshot.jpg", "page/style.css"])
def test_a_link_under_a_prefix_logs_in_and_its_cookie_stays_there(desk, tmp_path, path):
    token = json.loads((desk.server.state_dir / "tokens.json").read_text())["owner"]
    with nginx(tmp_path / "nginx", desk.server.port, FULL, at=PREFIX) as port:
        page = desk.window()
        origin = f"http://127.0.0.1:{port}"
        with page.expect_response(re.compile("/login$")) as answer:
            page.goto(f"{origin}{PREFIX}{path}#{token}", wait_until="commit")
        assert answer.value.url == f"{origin}{PREFIX}login"
        page.goto(f"{origin}{PREFIX}")
        page.wait_for_selector(FIRST_PICTURE)
        (cookie,) = page.context.cookies()
        assert cookie["path"] == PREFIX.rstrip("/")
        assert page.request.get(f"{origin}{PREFIX}status").status == 200
        desk.forgive_network()  # the first answer was 401


def test_the_form_of_the_login_page_comes_back_to_the_prefix(desk, tmp_path):
    token = json.loads((desk.server.state_dir / "tokens.json").read_text())["watch"]
    with nginx(tmp_path / "nginx", desk.server.port, FULL, at=PREFIX) as port:
        page = desk.window(java_script_enabled=False)
        page.goto(f"http://127.0.0.1:{port}{PREFIX}")
        page.fill("#token", token)
        page.click("text=Open the stream", no_wait_after=True)
        page.wait_for_selector("img.plain")
        assert page.url == f"http://127.0.0.1:{port}{PREFIX}"
        desk.forgive_network()
