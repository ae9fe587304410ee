"""The page of each channel, and the menu that leads to the others."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tests.page.channel_server import NAMES, ChannelServer
from tests.page.desk import FIRST_PICTURE
from tests.page.field import wait_for_status
from tests.page.live_server import FIRST_PROMPT, shared

pytestmark = pytest.mark.browser


shared_server = shared(ChannelServer)


@pytest.fixture
def left(desk):
    return desk.open("/?channel=left")


def write(page, words):
    page.fill("#prompt", words)
    page.press("#prompt", "Enter")


def test_a_page_changes_and_shows_its_own_channel(left, server, pixels, colour_of, eventually):
    write(left, "a red circle on a blue ground")
    eventually(lambda: server.prompt("left"), "a red circle on a blue ground")
    assert [server.prompt(name) for name in ("main", "right")] == [FIRST_PROMPT] * 2
    eventually(lambda: colour_of(pixels(left.locator("#picture"))), "blue")
    server.show({"left": "a red circle on a yellow ground", "main": "a blue moon"})
    eventually(lambda: left.inner_text("#showing"), "a red circle on a yellow ground")
    eventually(lambda: colour_of(pixels(left.locator("#picture"))), "yellow")


def test_the_title_names_the_channel(desk, left, eventually):
    eventually(left.title, f"left · {FIRST_PROMPT} · Turbostream")
    eventually(desk.open().title, f"main · {FIRST_PROMPT} · Turbostream")


def test_windows_of_one_browser_on_two_channels_share_no_stream(desk, left, server, eventually):
    main = desk.beside(left.context)
    desk.show(main)
    viewers = lambda: {it["name"]: it["viewers"] for it in server.channels().values()}  # noqa: E731
    eventually(lambda: (viewers()["left"], viewers()["main"]), (1, 1))


def test_every_request_of_a_page_names_its_channel(desk, server, eventually):
    page = desk.alone()  # the requests of a shared worker are not reported
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    desk.show(page, "/?channel=left")
    page.click("#send-enter")
    page.fill("#prompt", "a red star")
    page.wait_for_selector("#preview img[src]", state="attached")
    page.press("#prompt", "Enter")
    eventually(lambda: server.prompt("left"), "a red star")
    page.click("#undo")
    page.click("#look-add")
    page.wait_for_selector(".look img:not([hidden])")
    wait_for_left(page)
    of_channel = [url for url in asked if not re.search("/page/[^?]*$", urlsplit(url).path)]
    paths = {urlsplit(url).path for url in of_channel}
    assert {"/", "/stream", "/status", "/control", "/preview", "/looks"} <= paths
    named = [parse_qs(urlsplit(url).query).get("channel") for url in of_channel]
    unnamed = [url for url, name in zip(of_channel, named, strict=True) if name != ["left"]]
    assert [url for url in unnamed if not url.startswith("blob:")] == []
    for look in server.ask("GET", "/looks")["looks"]:
        server.ask("DELETE", f"/looks/{quote(look['name'])}")


def wait_for_left(page):
    with page.expect_request("**/status?channel=left"):
        pass


def test_a_page_without_scripts_stays_on_its_channel(browser, server):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{server.url}/?channel=left", wait_until="commit")
    page.wait_for_selector("img.plain")
    assert page.get_attribute("img.plain", "src") == "stream?channel=left"
    page.fill("#prompt", "a blue moon")
    page.press("#prompt", "Enter")
    page.wait_for_selector(".title:has-text('a blue moon')")
    assert page.url == f"{server.url}/?channel=left"
    context.close()
    assert (server.prompt("left"), server.prompt("main")) == ("a blue moon", FIRST_PROMPT)


def test_the_view_keeps_the_channel_in_the_address(left):
    left.click("#watch")
    assert parse_qs(urlsplit(left.url).query) == {"channel": ["left"], "view": ["watch"]}


def test_what_belongs_to_the_default_channel_is_not_on_the_page_of_another(desk, left, server):
    asked = []
    left.on("request", lambda request: asked.append(urlsplit(request.url).path))
    left.evaluate("document.activeElement.blur()")
    for key in ("r", "p", "]", "["):
        left.keyboard.press(key)
    with left.expect_request("**/status?channel=left"):
        pass
    for element in ("#record", "#setlist", "#recordings", "#broadcast"):
        assert not left.locator(element).is_visible(), element
    assert not {path for path in asked if re.match("/(setlist|record|broadcast)", path)}
    left.keyboard.press("?")
    assert "setlist" not in left.inner_text("#help-keys")
    main = desk.open()
    wait_for_status(main)
    assert main.locator("#record").is_visible()


def test_the_menu_leads_to_the_page_of_each_channel(left, server, eventually):
    left.click("#channel-open")
    eventually(lambda: left.locator("#channel-list a").count(), len(NAMES))
    assert left.locator("#channel-list [aria-current] span").inner_text() == "left"
    left.click("#channel-list a:has-text('right')")
    left.wait_for_url("**/?channel=right")
    left.wait_for_selector(FIRST_PICTURE)
    assert left.inner_text("#channel-open") == "right"


def test_the_menu_adds_a_channel_and_removes_it_at_the_second_press(left, server, eventually):
    left.click("#channel-open")
    left.fill("#channel-name", "cellar")
    left.press("#channel-name", "Enter")
    left.wait_for_url("**/?channel=cellar")
    left.wait_for_selector(FIRST_PICTURE)
    assert "cellar" in server.channels()
    left.click("#channel-open")
    left.click("#channel-remove")
    assert left.inner_text("#channel-remove") == "Remove?"
    assert "cellar" in server.channels()
    left.click("#channel-remove")
    left.wait_for_url(f"{left.url.split('?')[0]}")
    assert "cellar" not in server.channels()


@pytest.mark.parametrize("name", ["a/b", "..", "Upper", "two words", "-x"])
def test_a_name_that_no_channel_may_have_is_refused_by_the_field(left, server, name):
    before = set(server.channels())
    left.click("#channel-open")
    left.fill("#channel-name", name)
    left.press("#channel-name", "Enter")
    assert left.locator("#channel-name:invalid").count() == 1
    assert set(server.channels()) == before


def test_a_name_that_exists_is_refused_with_a_sentence(desk, left, eventually):
    left.click("#channel-open")
    left.fill("#channel-name", "right")
    left.press("#channel-name", "Enter")
    eventually(lambda: "right" in left.inner_text("#channel-say"))
    desk.expect_network_report(409)


def test_the_default_channel_has_no_button_that_removes_it(desk):
    page = desk.open()
    page.click("#channel-open")
    assert page.locator("#channel-remove").count() == 0


def test_a_page_whose_channel_was_removed_says_so_and_leads_to_others(
    desk, left, server, eventually
):
    desk.tolerate_report("status of 404 ")
    desk.tolerate_report(r"/control\?channel=left' failed: ")
    server.ask("DELETE", "/channels/left")
    eventually(lambda: "left" in left.inner_text("#notice-text"))
    left.click("#channel-open")
    eventually(lambda: left.locator("#channel-list a").count(), len(NAMES) - 1)
    left.click("#channel-list a:has-text('main')")
    left.wait_for_selector(FIRST_PICTURE)
