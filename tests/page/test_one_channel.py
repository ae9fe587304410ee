"""The page of a server with one channel."""

from __future__ import annotations

import pytest

from tests.page.live_server import FIRST_PROMPT

pytestmark = pytest.mark.browser


def test_there_is_no_menu_of_channels_and_the_title_names_none(page, eventually):
    assert not page.locator("#channel-open").is_visible()
    eventually(page.title, f"{FIRST_PROMPT} · Turbostream")


def test_the_overview_makes_a_second_channel_and_then_there_is_a_menu(
    own_desk, own_server, eventually
):
    page = own_desk.window()
    page.goto(f"{own_server.url}/")
    page.click("#overview")
    page.wait_for_selector("#tiles li[data-name='main'] canvas[data-pictures]")
    page.fill("#name", "left")
    page.press("#name", "Enter")
    page.wait_for_selector("#tiles li[data-name='left'] canvas[data-pictures]")
    page.click("#tiles .name:has-text('left')")
    page.wait_for_selector("#channel-open:has-text('left')")
    eventually(page.title, f"left · {FIRST_PROMPT} · Turbostream")
