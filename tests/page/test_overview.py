"""The overview: all channels as live pictures."""

from __future__ import annotations

import json

import pytest

from tests.page.channel_server import NAMES, ChannelServer
from tests.page.live_server import shared

pytestmark = pytest.mark.browser

DRAWN = """() => [...document.querySelectorAll('#tiles li')]
    .map((it) => Number(it.querySelector('canvas').dataset.pictures ?? 0))"""
HIDE = """(hidden) => {
    Object.defineProperty(document, 'hidden', {configurable: true, get: () => hidden});
    document.dispatchEvent(new Event('visibilitychange'));
}"""
CUT = """() => [...document.querySelectorAll('#tiles .name, #tiles .numbers, button, input')]
    .filter((it) => it.checkVisibility() && it.scrollWidth > it.clientWidth + 1)
    .map((it) => it.textContent || it.id)"""

# A machine that is too busy for a picture within 10 s: the tile says so, and asks again.
BUSY = r"status of 503 .*/snapshot.jpg\?"
REMOVED = r"status of 404 .*/snapshot.jpg\?channel=cellar$"  # a picture that was just asked for


shared_server = shared(ChannelServer)


@pytest.fixture
def overview(desk, server):
    """overview(**options): a window on it, once each channel has a picture."""
    desk.tolerate_report(BUSY)

    def open_overview(**options):
        page = desk.window(**options)
        page.goto(f"{server.url}/overview")
        page.wait_for_function(
            f"() => {{ const drawn = ({DRAWN})(); return drawn.length === "
            f"{len(NAMES)} && drawn.every((n) => n > 0); }}"
        )
        return page

    return open_overview


def tile(page, name):
    return page.locator(f"#tiles li[data-name='{name}']")


def test_six_channels_are_live_at_the_same_time(overview, eventually):
    page = overview()
    before = page.evaluate(DRAWN)
    eventually(lambda: all(b >= a + 3 for a, b in zip(before, page.evaluate(DRAWN), strict=True)))


def test_two_of_the_browsers_six_connections_stay_free(desk, server, eventually):
    desk.tolerate_report(BUSY)
    page = desk.window()
    in_flight: set[object] = set()
    peaks: list[int] = []

    def asked(request):
        if "snapshot.jpg" in request.url:
            in_flight.add(request)
            peaks.append(len(in_flight))

    page.on("request", asked)
    for ended in ("requestfinished", "requestfailed"):
        page.on(ended, lambda it: in_flight.discard(it))
    page.goto(f"{server.url}/overview")
    eventually(lambda: len(peaks) > 30)
    assert 1 < max(peaks) <= 4


def test_each_tile_shows_the_picture_of_its_channel(
    overview, server, pixels, colour_of, eventually
):
    grounds = {"main": "red", "left": "blue", "roof": "yellow"}
    server.show({name: f"a white star on a {it} ground" for name, it in grounds.items()})
    page = overview()
    for name, ground in grounds.items():
        eventually(lambda at=name: colour_of(pixels(tile(page, at).locator("canvas"))), ground)


def test_six_channels_fit_without_scrolling_at_1280_by_800(overview):
    page = overview(viewport={"width": 1280, "height": 800})
    assert page.evaluate("document.documentElement.scrollHeight") <= 800
    widths = {round(it.bounding_box()["width"]) for it in page.locator("canvas").all()}
    assert len(widths) == 1
    assert widths.pop() > 250
    assert page.evaluate(CUT) == []


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_on_a_phone_two_tiles_are_side_by_side_and_nothing_is_cut(overview, scheme):
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    page = overview(**phone, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    first, second = (it.bounding_box() for it in page.locator("canvas").all()[:2])
    assert first["y"] == second["y"]
    assert page.evaluate(CUT) == []
    small = """() => [...document.querySelectorAll('button, input')]
        .filter((it) => it.checkVisibility() && it.getBoundingClientRect().height < 40)
        .map((it) => it.id || it.ariaLabel)"""
    assert page.evaluate(small) == []


def test_a_tile_counts_viewers_and_leads_to_its_page(desk, overview, eventually):
    page = overview()
    numbers = tile(page, "left").locator(".numbers")
    eventually(lambda: numbers.inner_text().endswith("0 viewers"))
    watching = desk.open("/?channel=left")
    eventually(lambda: numbers.inner_text().endswith("1 viewer"))
    eventually(lambda: float(tile(page, "left").locator(".rate").inner_text()) > 0)
    own = watching.url
    for link in ("a.picture", "a.name"):
        assert tile(page, "left").locator(link).evaluate("it => it.href") == own


def test_channels_are_added_and_removed_while_the_others_play(desk, overview, server, eventually):
    desk.tolerate_report(REMOVED)
    page = overview()
    page.fill("#name", "cellar")
    page.press("#name", "Enter")
    tile(page, "cellar").locator("canvas[data-pictures]").wait_for()
    remove = tile(page, "cellar").locator(".remove")
    remove.click()
    assert remove.inner_text() == "Remove?"
    remove.click()
    tile(page, "cellar").wait_for(state="detached")
    assert set(server.channels()) == set(NAMES)
    before = page.evaluate(DRAWN)
    eventually(lambda: all(b > a for a, b in zip(before, page.evaluate(DRAWN), strict=True)))


def test_the_default_channel_has_no_button_that_removes_it(overview):
    page = overview()
    assert not tile(page, "main").locator(".remove").is_visible()
    assert tile(page, "left").locator(".remove").is_visible()


def test_a_channel_that_another_page_adds_or_removes_appears_and_disappears(desk, overview, server):
    desk.tolerate_report(REMOVED)
    page = overview()
    server.ask("PUT", "/channels/cellar", {})
    tile(page, "cellar").wait_for()
    server.ask("DELETE", "/channels/cellar")
    tile(page, "cellar").wait_for(state="detached")


def test_a_name_that_exists_is_refused_with_a_sentence(desk, overview, eventually):
    page = overview()
    page.fill("#name", "left")
    page.press("#name", "Enter")
    eventually(lambda: "left" in page.inner_text("#say"))
    desk.expect_network_report(409)


def test_a_hidden_overview_asks_for_nothing(desk, overview, server, eventually):
    page = overview()
    in_flight: set[object] = set()
    asked: list[str] = []
    page.on("request", lambda it: (in_flight.add(it), asked.append(it.url)))
    for ended in ("requestfinished", "requestfailed"):
        page.on(ended, lambda it: in_flight.discard(it))
    page.evaluate(HIDE, True)
    desk.rest(1)
    eventually(lambda: len(in_flight), 0)
    asked.clear()
    desk.rest(3)  # of a list every second, and pictures every quarter
    assert asked == []
    page.evaluate(HIDE, False)
    eventually(lambda: any("snapshot.jpg" in url for url in asked))


def test_a_visitor_who_may_only_watch_sees_all_channels_and_changes_none(desk, server):
    token = json.loads((server.state_dir / "tokens.json").read_text())["watch"]
    page = desk.window(extra_http_headers={"X-Forwarded-For": "203.0.113.9"})  # not the owner
    page.goto(f"{server.url}/overview#{token}")
    tile(page, "roof").locator("canvas[data-pictures]").wait_for()
    desk.expect_network_report(401)  # the first answer
    for control in ("#add", ".remove"):
        assert not page.locator(control).last.is_visible(), control


def test_a_channel_that_follows_another_says_so_and_shows_its_scene(
    desk, overview, server, pixels, colour_of, eventually
):
    desk.tolerate_report(REMOVED)
    server.show({"left": "a white star on a red ground"})
    page = overview()
    server.ask("PUT", "/channels/cellar", {"follows": {"channel": "left", "seed": 1}})
    eventually(
        lambda: tile(page, "cellar").locator(".follows").all_inner_texts(),
        ["follows left, seed +1"],
    )
    eventually(lambda: colour_of(pixels(tile(page, "cellar").locator("canvas"))), "red")


@pytest.mark.parametrize(
    ("channel", "text"),
    [
        ({"follows": None, "source": None}, ""),
        ({"follows": {"channel": "main", "seed": 1}}, "follows main, seed +1"),
        ({"follows": {"channel": "main", "phase": -0.5}}, "follows main, phase −0.5"),
        ({"follows": {"channel": "main", "crop": [0, 0, 1, 0.5]}}, "a part of main"),
        ({"follows": None, "source": "main"}, "starts from main"),
    ],
)
def test_what_it_shows_of_another_channel_is_said_in_words(overview, channel, text):
    page = overview()
    module = page.url.replace("overview", "page/channel_list.js")
    said = "async ([module, it]) => (await import(module)).followsAs(it)"
    assert page.evaluate(said, [module, channel]) == text
