"""The mappings of the sound panel: edited, kept on the server, and readable in every window."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.page.desk import Desk
from tests.page.live_server import LiveServer
from tests.page.test_layout import FAULTS, SMALL

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def no_mappings(server: LiveServer) -> Iterator[None]:
    yield
    server.ask("PUT", "/mappings", {"midi": [], "sound": []})


def opened(desk: Desk, **options: Any) -> Page:
    """The page with its sound panel open."""
    page = desk.window(**options)
    page.goto(desk.server.url)
    page.evaluate("document.getElementById('sound').open = true")
    return page


def test_mappings_are_edited_kept_and_removed(desk, server, eventually):
    page = opened(desk)
    page.click("#sound-add")
    row = page.locator("#sound-rows li")
    row.get_by_label("Part of the sound").select_option("low")
    row.get_by_label("Value that it sets").select_option("speed")
    row.get_by_label("Amount").fill("-0.5")
    row.get_by_label("Floor").fill("0.25")
    wanted = {"source": "low", "target": "speed", "amount": -0.5, "smoothing": 0.1, "floor": 0.25}
    eventually(lambda: server.ask("GET", "/mappings")["sound"], [wanted])
    other = opened(desk)
    eventually(lambda: other.locator("#sound-rows li").count(), 1)
    assert other.get_by_label("Amount").input_value() == "-0.5"
    page.get_by_label("Remove this mapping").click()
    eventually(lambda: server.ask("GET", "/mappings")["sound"], [])
    assert page.locator("#sound-rows li").count() == 0


def test_a_mapping_to_a_parameter_that_does_not_exist_says_so(desk, server, eventually):
    unknown = {"source": "level", "target": "mood", "amount": 1, "smoothing": 0, "floor": 0}
    server.ask("PUT", "/mappings", {"midi": [], "sound": [unknown]})
    page = opened(desk)
    note = "There is no parameter mood; this mapping has no effect."
    eventually(lambda: page.inner_text("#sound-rows li .sound-note"), note)
    page.get_by_label("Value that it sets").select_option("speed")
    eventually(lambda: server.ask("GET", "/mappings")["sound"][0]["target"], "speed")


def test_the_open_panel_fits_windows_of_all_widths(desk, server, eventually):
    rows = [{"source": "level", "target": "brightness"}, {"source": "onset", "target": "gone"}]
    server.ask("PUT", "/mappings", {"midi": [], "sound": rows})
    page = opened(desk)
    eventually(lambda: page.locator("#sound-rows li").count(), 2)
    faults = {}
    for width in (360, 720, 1040, 1280, 1720, 2560):
        page.set_viewport_size({"width": width, "height": 800})
        page.evaluate("() => new Promise(requestAnimationFrame)")
        if found := page.evaluate(FAULTS):
            faults[width] = found
    assert faults == {}


def test_targets_of_the_panel_on_a_phone_are_large_enough(desk, server, eventually):
    server.ask("PUT", "/mappings", {"midi": [], "sound": [{"source": "low", "target": "speed"}]})
    page = opened(desk, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    eventually(lambda: page.locator("#sound-rows li").count(), 1)
    assert page.evaluate(SMALL) == []
