"""The shortcuts work from the start, never become text, and leave controls their own keys."""

from __future__ import annotations

import json

import pytest

from tests.page.desk import FIRST_PICTURE
from tests.page.live_server import FIRST_PROMPT

pytestmark = pytest.mark.browser


def scene(server):
    return server.ask("GET", "/scene")


def test_shortcuts_work_from_the_moment_the_page_opens(desk, server, eventually):
    page = desk.open()
    page.keyboard.press("Space")
    eventually(lambda: scene(server)["motion"], "hold")
    page.keyboard.press("Space")
    eventually(lambda: scene(server)["motion"], "walk")
    seed = scene(server)["seed"]
    page.keyboard.press("n")
    eventually(lambda: scene(server)["seed"] != seed)
    eventually(lambda: page.input_value("#seed"), str(scene(server)["seed"]))
    assert page.input_value("#prompt") == FIRST_PROMPT


def test_b_fades_to_black_and_back(desk, server, eventually, pixels):
    page = desk.open()
    page.keyboard.press("b")
    eventually(lambda: page.get_attribute("#black", "aria-pressed"), "true")
    eventually(lambda: pixels(page.locator("#picture")).max() < 8)
    page.keyboard.press("b")
    eventually(lambda: page.get_attribute("#black", "aria-pressed"), "false")
    eventually(lambda: pixels(page.locator("#picture")).max() > 100)
    assert server.ask("GET", "/status")["prompt"] == FIRST_PROMPT


@pytest.mark.parametrize(("undo", "redo"), [("z", "Shift+Z"), ("Control+z", "Control+Shift+Z")])
def test_a_change_is_undone_and_redone(desk, server, eventually, undo, redo):
    page = desk.open()
    server.ask("POST", "/prompt", {"prompt": "a brown house"})
    eventually(lambda: page.input_value("#prompt"), "a brown house")
    assert page.locator("#undo").is_enabled()
    page.keyboard.press(undo)
    eventually(lambda: page.input_value("#prompt"), FIRST_PROMPT)
    eventually(lambda: page.locator("#redo").is_enabled())
    page.keyboard.press(redo)
    eventually(lambda: page.input_value("#prompt"), "a brown house")


def test_undo_inside_the_field_is_the_fields_own(desk, server, eventually):
    page = desk.open()
    server.ask("POST", "/prompt", {"prompt": "a brown house"})
    eventually(lambda: page.input_value("#prompt"), "a brown house")
    page.click("#send-enter")
    page.keyboard.press("/")
    page.keyboard.type("xyz")
    page.keyboard.press("Control+z")
    page.keyboard.type("b")
    assert server.ask("GET", "/status")["prompt"] == "a brown house"
    assert page.get_attribute("#black", "aria-pressed") == "false"


def test_the_list_of_shortcuts_holds_the_focus_and_closes_on_escape(desk):
    page = desk.open()
    page.keyboard.press("?")
    page.wait_for_selector("#help[open]")
    assert "fade to black" in page.inner_text("#help")
    for _ in range(6):
        page.keyboard.press("Tab")
        # After the last control the focus is on the browser's own controls.
        assert page.evaluate(
            "document.activeElement.closest('#help, body:not(:has(:focus))') !== null"
        )
    page.keyboard.press("b")
    assert page.get_attribute("#black", "aria-pressed") == "false"
    page.keyboard.press("Escape")
    page.wait_for_selector("#help", state="hidden")
    page.click("#help-open")
    page.wait_for_selector("#help[open]")
    page.keyboard.press("?")
    page.wait_for_selector("#help", state="hidden")


def test_a_slider_keeps_its_arrows_and_leaves_the_letters(desk, server, eventually):
    page = desk.open()
    page.focus("#fade")
    before = page.input_value("#fade")
    page.keyboard.press("ArrowRight")
    assert page.input_value("#fade") != before
    page.keyboard.press("w")
    assert not page.locator("#form").is_visible()
    page.keyboard.press("w")
    page.focus("#easing")
    page.keyboard.press("l")  # chooses Linear
    assert page.input_value("#easing") == "linear"


def test_a_button_with_keyboard_focus_keeps_space_and_enter(desk, server):
    page = desk.open()
    page.focus("#prompt")
    page.keyboard.press("Shift+Tab")  # On Enter
    assert page.evaluate("document.activeElement.id") == "send-enter"
    page.keyboard.press("Space")
    assert page.get_attribute("#send-enter", "aria-pressed") == "true"
    assert page.get_attribute("#freeze", "aria-pressed") == "false"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "send-enter"


def test_a_watcher_has_the_keys_of_views_only(desk, server):
    token = json.loads((server.state_dir / "tokens.json").read_text())["watch"]
    page = desk.window(extra_http_headers={"X-Forwarded-For": "203.0.113.9"})  # not the owner
    page.goto(f"{server.url}/#{token}")
    page.wait_for_selector(FIRST_PICTURE)
    desk.expect_network_report(401)  # the first answer
    for key in ("b", "n", "Space", "s", "z", "1", "p", "/"):
        page.keyboard.press(key)
    page.keyboard.press("?")
    page.wait_for_selector("#help[open]")
    assert "black" not in page.inner_text("#help")
    page.keyboard.press("Escape")
    page.wait_for_selector("#help", state="hidden")
    page.keyboard.press("w")
    assert page.locator("#watch-text").inner_text() == "Controls"
    assert scene(server)["motion"] == "walk"
    assert scene(server)["brightness"] == 1
