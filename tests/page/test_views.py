"""The page in narrow windows, by keyboard, full screen, light or dark, and without scripts."""

from __future__ import annotations

import json

import pytest

from tests.page.desk import FIRST_PICTURE
from tests.page.field import wait_for_status
from tests.page.live_server import FIRST_PROMPT

pytestmark = pytest.mark.browser

REACHABLE = """() => [...document.querySelectorAll('a[href], button, input, select, summary')]
    .filter((it) => it.checkVisibility() && !it.disabled)
    .filter((it) => !it.closest('details:not([open]) > :not(summary)'))
    .map((it) => it.id || it.textContent.trim())"""
FOCUSED = """() => {
    const it = document.activeElement;
    return it === document.body ? null
        : {name: it.id || it.textContent.trim(), outline: getComputedStyle(it).outlineStyle};
}"""


def test_without_scripts_the_picture_is_shown_and_the_form_changes_it(
    desk, pixels, colour_of, eventually
):
    page = desk.window(java_script_enabled=False)
    page.goto(desk.server.url, wait_until="commit")
    picture = page.locator("img.plain")
    picture.wait_for()
    page.fill("#prompt", "a circle on a red background")
    page.click("text=Set Prompt", no_wait_after=True)
    page.wait_for_selector("h1")
    eventually(lambda: page.text_content("#showing"), "a circle on a red background")
    eventually(lambda: colour_of(pixels(picture)), "red")
    assert not page.locator("#freeze").is_visible()


def test_without_scripts_nothing_covers_the_picture_and_nothing_is_said_of_missing_buttons(
    desk, server, pixels, colour_of, eventually
):
    server.ask("POST", "/prompt", {"prompt": "a circle on a red background"})
    page = desk.window(java_script_enabled=False)
    page.goto(desk.server.url, wait_until="commit")
    page.wait_for_selector("img.plain")
    eventually(lambda: colour_of(pixels(page.locator("#frame"))), "red")
    frame, picture = (page.locator(it).bounding_box() for it in ("#frame", "img.plain"))
    assert picture == pytest.approx(frame, abs=1)
    for scripted in page.locator(".scripted").all():
        assert not scripted.is_visible(), scripted.text_content()
    assert "Freeze" not in page.inner_text("body")


def test_without_scripts_an_example_is_a_button_of_its_own(desk, server, eventually):
    page = desk.window(java_script_enabled=False)
    page.goto(desk.server.url, wait_until="commit")
    example = page.locator("#examples button").nth(1)
    words = example.inner_text()
    example.click(no_wait_after=True)
    eventually(lambda: server.ask("GET", "/status")["prompt"], words)


@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_nothing_is_wider_than_the_window(desk, width):
    page = desk.open(viewport={"width": width, "height": 800})
    page.fill("#prompt", "supercalifragilistic" * 20)
    page.keyboard.press("Enter")
    page.wait_for_selector("#message:has-text('does not read')")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.fill("#prompt", "supercalifragilistic" * 2)
    page.keyboard.press("Enter")
    page.wait_for_selector("#message button")
    page.click("text=Behind the picture")
    page.wait_for_selector("#facts dd")
    page.click("text=Words this small model knows")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    panel = page.locator(".panel")
    assert panel.evaluate("(it) => it.scrollWidth <= it.clientWidth")


def test_the_page_says_how_to_reach_the_shortcuts_from_the_field(desk, eventually):
    page = desk.open()
    assert page.inner_text("#keys").startswith("Space freeze")
    page.focus("#prompt")
    assert page.inner_text("#keys").startswith("Esc then Space")
    page.keyboard.press("Escape")
    assert page.inner_text("#keys").startswith("Space freeze")
    page.keyboard.press("Space")
    eventually(lambda: page.get_attribute("#freeze", "aria-pressed"), "true")


def test_the_keyboard_reaches_every_control_and_shows_where_it_is(desk):
    page = desk.open()
    wanted = set(page.evaluate(REACHABLE))
    reached = {}
    for _ in range(2 * len(wanted)):
        if at := page.evaluate(FOCUSED):
            reached[at["name"]] = at["outline"]
        page.keyboard.press("Tab")
    assert set(reached) == wanted
    assert set(reached.values()) == {"solid"}


def test_every_control_has_a_name(desk):
    page = desk.open()
    kinds = "button:visible, input:visible, select:visible, a:visible, canvas"
    for control in page.locator(kinds).all():
        named = control.evaluate(
            "(it) => it.ariaLabel || it.textContent.trim() || it.labels?.[0]?.textContent.trim()"
        )
        assert named, control.evaluate("(it) => it.outerHTML")
    assert page.get_attribute("#picture", "aria-label").startswith("Live picture: ")
    assert page.get_attribute("#state-word", "role") == "status"


def test_the_c_key_shows_only_the_picture_and_escape_restores_the_page(desk):
    page = desk.open()
    page.keyboard.press("c")
    assert not page.locator(".panel").is_visible()
    assert page.locator("#picture").bounding_box()["height"] == 800
    assert page.evaluate("getComputedStyle(document.querySelector('#picture')).cursor") == "none"
    page.keyboard.press("Escape")
    assert page.locator(".panel").is_visible()
    assert page.input_value("#prompt") != "c"


def test_the_clean_address_shows_only_the_picture(desk):
    page = desk.open("/?clean")
    assert not page.locator(".panel").is_visible()
    assert not page.locator("#clean-hint").is_visible()


def test_full_screen_fills_the_screen_with_the_picture(desk):
    page = desk.open()
    page.click("#fullscreen")
    page.wait_for_selector("#stage:fullscreen")
    page.keyboard.press("f")
    page.wait_for_selector(":fullscreen", state="detached")


def test_the_page_follows_the_systems_dark_or_light_theme(desk):
    brightness = "() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    assert max(desk.open(color_scheme="dark").evaluate(brightness)) < 60
    assert min(desk.open(color_scheme="light").evaluate(brightness)) > 200


def test_nothing_moves_on_the_page_while_it_streams_and_answers(desk):
    page = desk.window()
    page.add_init_script("""
        window.shifts = 0;
        const add = (list) => list.getEntries().forEach((it) => { shifts += it.value; });
        new PerformanceObserver(add).observe({type: 'layout-shift', buffered: true});
    """)
    page.goto(desk.server.url)
    page.fill("#prompt", "a red dragon")
    page.keyboard.press("Enter")
    page.wait_for_selector("#message button")
    page.wait_for_selector(FIRST_PICTURE)
    wait_for_status(page)
    assert page.evaluate("shifts") < 0.01


def test_the_page_shows_the_servers_state(desk, server, eventually):
    page = desk.open()
    said = server.ask("GET", "/status")
    page.route("**/status", lambda it: it.fulfill(json=said))
    for state in ("compiling", "resting"):
        said["state"] = state
        eventually(lambda: page.inner_text("#state-word"), state.capitalize())
    said |= {"state": "downloading", "download": {"bytes": 1.26e9, "total": 5.1e9}}
    eventually(lambda: page.inner_text("#state-amount"), "1.3 of 5.1 GB")
    said |= {"state": "failed", "message": "The engine failed; it is being rebuilt."}
    eventually(lambda: page.inner_text("#notice-text"), said["message"])
    said |= {"state": "streaming", "guard": {"ends_at": said["now"] + 720, "message": ""}}
    eventually(lambda: page.inner_text("#rental"), "The rental of this machine ends in 12 minutes.")
    assert not page.locator("#notice").is_visible()


def test_a_rented_machine_can_be_kept_an_hour_longer_with_one_click(desk, server, eventually):
    page = desk.open()
    said = server.ask("GET", "/status")
    requests = []
    page.route("**/guard/extend", lambda it: (requests.append(1), it.fulfill(json={})))
    page.route("**/status", lambda it: it.fulfill(json=said))
    said["guard"] = {"armed": True, "ends_at": said["now"] + 5000, "message": ""}
    eventually(lambda: page.locator("#rental").is_visible(), True)
    assert not page.locator("#rental-extend").is_visible()
    said["guard"] |= {"ends_at": said["now"] + 600, "message": "10 minutes are left."}
    page.click("#rental-extend")
    eventually(lambda: requests, [1])
    assert page.inner_text("#rental-text") == "10 minutes are left."


def test_the_watching_link_shows_picture_and_words_but_no_controls(desk, server, eventually):
    token = json.loads((server.state_dir / "tokens.json").read_text())["watch"]
    page = desk.window(extra_http_headers={"X-Forwarded-For": "203.0.113.9"})  # not the owner
    page.goto(f"{server.url}/#{token}")
    page.wait_for_selector(FIRST_PICTURE)
    desk.expect_network_report(401)  # the first answer
    assert page.inner_text("#showing") == FIRST_PROMPT
    assert page.inner_text(".may-watch").startswith("This link is view-only")
    for control in ("#form", "#examples", "#message", ".motion", "#known"):
        assert not page.locator(control).is_visible(), control
    page.keyboard.press("Space")
    server.ask("POST", "/prompt", {"prompt": "a red circle"})
    eventually(lambda: page.inner_text("#showing"), "a red circle")
    assert server.ask("GET", "/scene")["motion"] == "walk"


def test_the_owner_is_not_told_that_the_link_may_only_watch(desk):
    page = desk.open()
    assert page.locator("#form").is_visible()
    assert not page.locator(".may-watch").is_visible()


def test_the_details_behind_the_picture_can_be_opened(desk):
    page = desk.open()
    page.click("text=Behind the picture")
    page.wait_for_selector("#facts dd:has-text('cpu')")
