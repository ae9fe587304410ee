"""The page of a channel, opened with a link that is for that channel only. Nobody here is the owner
without a token, so that every request and socket of the browser counts."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.page.channel_server import ChannelServer
from tests.page.desk import FIRST_PICTURE
from tests.page.live_server import FIRST_PROMPT, shared
from turbostream.web.auth.tokens import load_tokens

pytestmark = pytest.mark.browser

HIDDEN = ("#looks", "#setlist", "#midi", "#sound", "#recordings", "#broadcast", "#record",
          "#exchange", "#overview", "#channel-open")  # fmt: skip
PUBLIC = "gallery.example:80"


class StrictServer(ChannelServer):
    """A server to which everybody is a stranger without a token, as behind a proxy."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__(state_dir)
        self._env |= {"LOOPBACK_OWNER": "no", "PUBLIC_ADDRESS": PUBLIC}
        self.tokens = load_tokens(state_dir)

    def _open(self, method: str, path: str, data: bytes | None = None) -> Any:
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {self.tokens.owner}",
        }
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        return urllib.request.urlopen(request, timeout=30)

    def healthy(self) -> bool:
        try:
            with self._open("GET", "/healthz") as answer:
                return answer.status == 200
        except OSError:
            return False

    def ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with self._open(method, path, data) as answer:
            return json.load(answer) if answer.status != 204 else None

    def link(self, use: str, channel: str | None = None) -> str:
        """use: owner or watch; channel: None: of the server."""
        tokens = self.tokens if channel is None else self.tokens.of_channel(channel)
        query = "" if channel is None else f"?channel={channel}"
        return f"/{query}#{getattr(tokens, use)}"


shared_server = shared(StrictServer)


@pytest.fixture
def visit(desk, server):
    """visit(use, channel): a window on that link, with the addresses it asks for in `asked`."""

    def open_link(use, channel=None, page=None):
        page = page or desk.window()
        page.asked = []
        page.on("request", lambda it: page.asked.append(urlsplit(it.url).path))
        page.goto(f"{server.url}{server.link(use, channel)}")
        page.wait_for_selector(FIRST_PICTURE)
        desk.expect_network_report(401)  # the first answer, before the token was exchanged
        return page

    return open_link


def test_an_artist_plays_the_channel_without_what_belongs_to_the_server(
    desk, visit, server, pixels, colour_of, eventually
):
    page = visit("owner", "left")
    eventually(lambda: bool(desk.messages(page).pushed))
    page.fill("#prompt", "a red circle on a blue ground")
    page.press("#prompt", "Enter")
    eventually(lambda: server.prompt("left"), "a red circle on a blue ground")
    eventually(lambda: colour_of(pixels(page.locator("#picture"))), "blue")
    assert server.prompt("main") == FIRST_PROMPT
    page.click("#undo")
    eventually(lambda: server.prompt("left"), FIRST_PROMPT)
    for control in HIDDEN:
        assert not page.locator(control).is_visible(), control
    for control in ("#form", "#freeze", "#source", "#tempo", "#motion"):
        assert page.locator(control).is_visible(), control
    assert page.inner_text("header .channels") == "left"


def test_its_keys_and_panels_ask_for_nothing_that_would_be_refused(desk, visit):
    page = visit("owner", "left")
    page.evaluate("document.activeElement.blur()")
    for key in ("1", "ArrowLeft", "s", "r", "p", "[", "]"):
        page.keyboard.press(key)
    for panel in page.locator("details:visible > summary").all():
        panel.click()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    wait_for_status_of_left(page)
    closed = re.compile("/(looks|setlist|record|broadcast|channels|mappings|export|osc)")
    assert [path for path in page.asked if closed.match(path)] == []
    page.keyboard.press("?")
    shown = page.inner_text("#help-keys")
    assert "freeze" in shown
    for what in ("look", "setlist", "recording"):
        assert what not in shown, what


def wait_for_status_of_left(page):
    with page.expect_request("**/status?channel=left"):
        pass


def test_a_screen_shows_the_channel_and_has_no_controls(visit, server, eventually):
    page = visit("watch", "left")
    assert not page.locator("#form").is_visible()
    assert page.inner_text(".may-watch").startswith("This link is view-only")
    server.show({"left": "a red circle"})
    eventually(lambda: page.inner_text("#showing"), "a red circle")
    for control in HIDDEN:
        assert not page.locator(control).is_visible(), control


def test_a_screen_whose_channel_is_removed_says_so_and_continues_when_it_is_made_again(
    desk, visit, server, eventually
):
    desk.tolerate_report("status of 404 ")
    desk.tolerate_report(r"/control\?channel=left' failed: ")
    page = visit("watch", "left")
    server.ask("DELETE", "/channels/left")
    eventually(lambda: page.inner_text("#notice-text").startswith("The channel left was removed"))
    server.ask("PUT", "/channels/left", {})
    page.wait_for_selector("#notice", state="hidden")
    server.show({"left": "a red circle"})
    eventually(lambda: page.inner_text("#showing"), "a red circle")


def test_the_page_of_another_channel_asks_for_its_own_link(desk, visit, server):
    page = visit("watch", "left")
    page.goto(f"{server.url}/?channel=main")
    page.wait_for_selector("h1:has-text('needs a link')")
    desk.expect_network_report(403)
    assert FIRST_PROMPT not in page.content()
    page.goto(f"{server.url}/")
    page.wait_for_url("**/?channel=left")


def test_links_of_two_channels_stay_open_in_one_browser(desk, visit, server, eventually):
    left = visit("watch", "left")
    right = desk.beside(left.context)
    visit("owner", "right", right)
    desk.tolerate_report("status of 403 ")  # right's first answer: it came with the cookie of left
    left.reload()
    left.wait_for_selector(FIRST_PICTURE)
    assert not left.locator("#form").is_visible()
    assert right.locator("#form").is_visible()
    server.show({"left": "a blue moon", "right": "a red circle"})
    eventually(lambda: left.inner_text("#showing"), "a blue moon")
    eventually(lambda: right.inner_text("#showing"), "a red circle")


@pytest.mark.parametrize("before", [("watch", "left"), ("watch", None)])
def test_a_link_that_may_do_more_takes_effect_on_a_page_that_is_open(
    visit, server, before, eventually
):
    page = visit(*before)
    assert not page.locator("#form").is_visible()
    page.goto(f"{server.url}{server.link('owner', 'left')}")
    page.wait_for_selector("#form:visible")
    page.wait_for_selector(FIRST_PICTURE)
    assert page.url == f"{server.url}/?channel=left"


def test_a_link_that_is_no_longer_valid_is_said_and_changes_nothing(desk, visit, server):
    page = visit("watch", "left")
    page.goto(f"{server.url}/?channel=left#left.{'x' * 43}")
    page.wait_for_selector(".may-watch:has-text('no longer, valid')")
    assert page.url == f"{server.url}/?channel=left"
    assert page.locator("#picture").is_visible()


def test_the_owner_finds_the_links_of_a_channel_in_its_menu(visit, server):
    page = visit("owner")
    page.goto(f"{server.url}/?channel=left")
    page.wait_for_selector(FIRST_PICTURE)
    wait_for_status_of_left(page)
    page.click("#channel-open")
    page.click("#channel-share")
    for field, use in (("#channel-link-view", "watch"), ("#channel-link-control", "owner")):
        page.wait_for_selector(field)
        assert page.input_value(field) == f"http://{PUBLIC}{server.link(use, 'left')}"
    page.keyboard.press("Escape")
    page.click("#channel-open")
    assert not page.locator("#channel-links").is_visible(), "they are secrets"
