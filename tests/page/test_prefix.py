"""Behind a proxy that serves the program under a prefix, which it strips: /proxy/8000/."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.page.desk import FIRST_PICTURE
from tests.page.live_server import shared
from tests.page.test_picture import frame
from tests.page.test_windows import QuickServer
from tests.robustness.test_nginx import FULL, NGINX, nginx

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not Path(NGINX).exists(), reason="needs nginx"),
]
PREFIX = "/proxy/8000/"
FAVICON = r"status of 404 .*/favicon\.ico$"  # the browser asks outside the prefix
NO_UPGRADE = r"/control' failed: .*response code: (403|426)$"  # without Host, or without Upgrade
UPGRADE = """
proxy_http_version 1.1;
proxy_set_header Host $http_host;
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection $http_connection;
"""


shared_server = shared(QuickServer)


# A test requests the proxy before the desk, so that its windows close before the proxy ends.


@pytest.fixture
def prefixed(server: Any, tmp_path: Path) -> Iterator[str]:
    """The page's address through a bare proxy, to which everybody is the owner."""
    with nginx(tmp_path / "nginx", server.port, at=PREFIX) as port:
        yield f"http://127.0.0.1:{port}{PREFIX}"


@pytest.fixture
def guarded(server: Any, tmp_path: Path) -> Iterator[str]:
    """The same through a proxy that sends forwarding headers: a token is needed."""
    with nginx(tmp_path / "nginx", server.port, FULL, at=PREFIX) as port:
        yield f"http://127.0.0.1:{port}{PREFIX}"


@pytest.fixture
def upgrading(server: Any, tmp_path: Path) -> Iterator[str]:
    """The address through a proxy that passes the control socket on."""
    with nginx(tmp_path / "nginx", server.port, UPGRADE, at=PREFIX) as port:
        yield f"http://127.0.0.1:{port}{PREFIX}"


def test_the_control_socket_is_opened_under_the_prefix(upgrading, desk, server, eventually):
    page = desk.window()
    page.goto(upgrading)
    page.wait_for_selector(FIRST_PICTURE)
    messages = desk.messages(page)
    eventually(lambda: len(messages.pushed) > 0)
    page.keyboard.press("Space")
    eventually(lambda: [it.get("patch") for it in messages.sent], [{"motion": "hold", "fade_s": 0}])
    eventually(lambda: server.ask("GET", "/scene")["motion"], "hold")


def test_the_page_under_a_prefix_shows_the_stream_and_sends_words(
    prefixed, desk, server, eventually
):
    desk.tolerate_report(NO_UPGRADE)
    page = desk.window()
    asked = []
    page.on("response", lambda it: asked.append((it.status, it.url)))
    page.goto(prefixed)
    page.wait_for_selector(FIRST_PICTURE)
    page.keyboard.press("/")
    page.keyboard.type("a red circle")
    eventually(lambda: server.ask("GET", "/status")["prompt"], "a red circle")
    page.click("#freeze")
    eventually(lambda: server.ask("GET", "/scene")["motion"], "hold")
    before = frame(page)
    eventually(lambda: frame(page) > before + 20)  # only if acknowledgements arrive
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


def test_a_window_with_a_stream_of_its_own_works_under_a_prefix_too(prefixed, desk, eventually):
    desk.tolerate_report(NO_UPGRADE)
    page = desk.alone()
    reports = []
    page.on("response", lambda it: reports.append(it.status) if "/shown" in it.url else None)
    page.goto(prefixed)
    eventually(lambda: len(reports) > 5)
    assert set(reports) == {204}


def test_without_scripts_the_form_returns_to_the_page_under_the_prefix(prefixed, desk, eventually):
    page = desk.window(java_script_enabled=False)
    page.goto(prefixed, wait_until="commit")
    page.wait_for_selector("img.plain")
    page.fill("#prompt", "a circle on a red background")
    page.click("text=Set Prompt", no_wait_after=True)
    eventually(lambda: page.text_content("#showing"), "a circle on a red background")
    assert page.url == prefixed
    assert page.get_attribute("#save", "href") == "snapshot.jpg"


@pytest.mark.parametrize("path", ["", "page/style.css"])
def test_a_link_under_a_prefix_logs_in_and_its_cookie_stays_there(guarded, desk, path):
    token = json.loads((desk.server.state_dir / "tokens.json").read_text())["owner"]
    page = desk.window()
    with page.expect_response(re.compile("/login$")) as answer:
        page.goto(f"{guarded}{path}#{token}", wait_until="commit")
    assert answer.value.url == f"{guarded}login"
    page.wait_for_selector("#token", state="detached")  # it loads itself again
    page.goto(guarded)
    page.wait_for_selector(FIRST_PICTURE)
    (cookie,) = page.context.cookies()
    assert cookie["path"] == PREFIX.rstrip("/")
    assert page.request.get(f"{guarded}status").status == 200
    desk.tolerate_report(FAVICON)
    desk.tolerate_report(NO_UPGRADE)
    desk.expect_network_report(401)  # the first answer


def test_the_login_form_returns_to_the_prefix(guarded, desk):
    token = json.loads((desk.server.state_dir / "tokens.json").read_text())["watch"]
    page = desk.window(java_script_enabled=False)
    page.goto(guarded)
    page.fill("#token", token)
    page.click("text=Open the stream", no_wait_after=True)
    page.wait_for_selector("img.plain")
    assert page.url == guarded
    desk.tolerate_report(FAVICON)
    desk.expect_network_report(401)  # the first answer
