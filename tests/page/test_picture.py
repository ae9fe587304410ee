"""The picture moves, follows the prompt, freezes, and returns after a failure."""

from __future__ import annotations

import io
import signal
import urllib.request

import numpy as np
import pytest
from PIL import Image

from tests.page.desk import FIRST_PICTURE
from tests.page.live_server import FIRST_PROMPT

pytestmark = pytest.mark.browser

HIDE = """(hidden) => {
    Object.defineProperty(document, 'hidden', {configurable: true, get: () => hidden});
    document.dispatchEvent(new Event('visibilitychange'));
}"""
SHOW = """() => {
    const asked = [];
    const real = MessagePort.prototype.postMessage;
    MessagePort.prototype.postMessage = function (message) {
        asked.push(message.type);
        real.call(this, message);
    };
    (%s)(false);
    MessagePort.prototype.postMessage = real;
    return asked.includes('join');
}"""
GROUNDS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black", "brown")


def frame(page):
    return int(page.locator("#picture").get_attribute("data-frame"))


def newest_of_before(server):
    """The number of the last frame that shows an older scene than the one in force."""
    return server.ask("POST", "/prompt", {"prompt": FIRST_PROMPT})["frame"]  # changes nothing


def take_parts(server, count):
    """Reads so many parts of the stream, as another viewer."""
    with urllib.request.urlopen(f"{server.url}/stream", timeout=90) as stream:
        while count:
            count -= stream.readline().lower().startswith(b"x-frame-id:")


def difference(one, other):
    """The mean difference between two pictures, of 255."""
    return float(np.abs(one - other).mean())


def test_the_picture_moves(desk, pixels, eventually):
    page = desk.open()
    before = pixels(page.locator("#picture"))
    eventually(lambda: difference(before, pixels(page.locator("#picture"))) > 0.2)


def test_ten_prompts_are_ten_pictures_of_the_right_colours(desk, pixels, colour_of, eventually):
    page = desk.open()
    for colour in GROUNDS:
        page.fill("#prompt", f"a circle on a {colour} background")
        page.keyboard.press("Enter")
        eventually(lambda: colour_of(pixels(page.locator("#picture"))), colour)


@pytest.mark.parametrize(("path", "share"), [("/", 0.8), ("/?view=watch", 0.87), ("/?clean", 1)])
def test_the_picture_is_painted_as_large_as_the_view_allows(desk, path, share):
    for width, height in ((1280, 800), (1920, 1080), (390, 844)):
        page = desk.open(path, viewport={"width": width, "height": height})
        box = page.locator("#picture").bounding_box()
        assert box["height"] == pytest.approx(box["width"], abs=1)
        assert box["height"] >= share * min(width, height)


def test_freeze_stops_the_picture_and_space_resumes_it(desk, server, pixels, eventually):
    page = desk.open()
    page.click("#freeze")
    eventually(lambda: server.ask("GET", "/scene")["motion"], "hold")
    moving = newest_of_before(server)
    eventually(lambda: frame(page) > moving)
    frozen, first = pixels(page.locator("#picture")), frame(page)
    eventually(lambda: frame(page) > first + 5)
    assert difference(frozen, pixels(page.locator("#picture"))) == 0
    eventually(lambda: page.locator("#freeze").get_attribute("aria-pressed"), "true")

    page.mouse.click(5, 5)  # not on a control
    page.keyboard.press("Space")
    eventually(lambda: server.ask("GET", "/scene")["motion"], "walk")
    eventually(lambda: difference(frozen, pixels(page.locator("#picture"))) > 0.2)


def test_space_in_the_prompt_is_a_space(desk, server, eventually):
    page = desk.open()
    page.fill("#prompt", "red")
    page.keyboard.press("Space")
    assert page.input_value("#prompt") == "red "
    assert page.locator("#freeze").get_attribute("aria-pressed") == "false"
    eventually(lambda: server.ask("GET", "/status")["prompt"], "red")  # sent after any freeze
    assert server.ask("GET", "/scene")["motion"] == "walk"


def test_the_slider_sets_the_speed_and_ends_freeze(desk, server, eventually):
    page = desk.open()
    page.click("#freeze")
    page.focus("#speed")
    page.keyboard.press("End")
    eventually(lambda: server.ask("GET", "/scene")["speed"], 4.0)
    eventually(lambda: server.ask("GET", "/scene")["motion"], "walk")
    eventually(lambda: page.text_content("#speed-value"), "4.00")


def test_the_stream_comes_back_by_itself_and_words_typed_meanwhile_are_sent(own_desk, eventually):
    page, server = own_desk.open(), own_desk.server
    own_desk.tolerate_lost_server()
    server.end(signal.SIGKILL)
    page.wait_for_selector("#notice:visible")
    assert "The stream is lost" in page.text_content("#notice")
    eventually(lambda: page.inner_text("#viewers"), "–")
    page.fill("#prompt", "a circle on a green background")
    eventually(lambda: "does not answer" in page.text_content("#message"))

    server.start()
    page.wait_for_selector("#notice", state="hidden")
    shown = frame(page)
    eventually(lambda: frame(page) not in (0, shown))
    eventually(lambda: server.ask("GET", "/status")["prompt"], "a circle on a green background")
    eventually(lambda: page.text_content("#state-word"), "Streaming")


def test_after_a_kill_the_field_and_the_picture_show_the_words_that_were_in_force(
    own_desk, pixels, colour_of, eventually
):
    page, server = own_desk.open(), own_desk.server
    words = "a circle on a green background"
    page.fill("#prompt", words)
    page.keyboard.press("Enter")
    kept = server.state_dir / f"scene-{server.port}.json"
    eventually(lambda: kept.exists() and words in kept.read_text())
    own_desk.tolerate_lost_server()
    server.end(signal.SIGKILL)
    page.wait_for_selector("#notice:visible")
    server.start()
    page.wait_for_selector("#notice", state="hidden")
    shown = frame(page)
    eventually(lambda: frame(page) not in (0, shown))
    assert server.ask("GET", "/status")["prompt"] == words
    assert page.input_value("#prompt") == words
    assert page.text_content("#showing") == words
    eventually(lambda: colour_of(pixels(page.locator("#picture"))), "green")


def test_a_hidden_tab_receives_no_frames_and_resumes_at_once(desk, server, eventually):
    page = desk.open()
    eventually(lambda: server.ask("GET", "/status")["viewers"], 1)
    page.evaluate(HIDE, True)
    eventually(lambda: server.ask("GET", "/status")["viewers"], 0)
    take_parts(server, 8)  # by then the page has painted what it had received
    hidden = frame(page)
    take_parts(server, 8)
    assert frame(page) == hidden
    assert page.evaluate(SHOW % HIDE), "asked for in that very moment"
    eventually(lambda: frame(page) > hidden)


def test_a_tab_opens_one_stream_and_acknowledges_rising_frame_numbers(desk, eventually):
    page = desk.alone()
    streams, reported = [], []
    page.on("request", lambda it: streams.append(it.url) if "/stream" in it.url[-8:] else None)
    page.on(
        "request",
        lambda it: reported.append(it.post_data_json["frame"]) if "/shown" in it.url else None,
    )
    page.goto(desk.server.url)
    eventually(lambda: len(reported) > 9)
    assert len(streams) == 1
    assert reported == sorted(set(reported))


def test_reduced_motion_means_two_frames_a_second_until_the_user_asks_for_more(desk, eventually):
    page = desk.alone(reduced_motion="reduce")
    streams = []
    page.on(
        "request",
        lambda it: (
            streams.append(it.url) if "?fps" in it.url[-14:] or it.url.endswith("/stream") else None
        ),
    )
    page.goto(desk.server.url)
    page.wait_for_selector("text=Your system asks for less motion")
    page.wait_for_selector(FIRST_PICTURE)
    assert streams[0].endswith("/stream?fps=2")
    # It is a dash until the rate is known.
    eventually(lambda: 1 < float(page.text_content("#fps").replace("–", "0")) <= 2.5)

    page.click("text=Play at full rate")
    eventually(lambda: streams[-1].endswith("/stream"))
    eventually(lambda: page.text_content("#calm-button"), "Back to 2 a second")


def test_the_saved_picture_is_the_one_that_is_shown(desk):
    page = desk.open()
    with page.expect_download() as saved:
        page.click("text=Save picture")
    assert saved.value.suggested_filename.startswith("three-yellow-stars-on-a-night-sky-")
    assert saved.value.suggested_filename.endswith(".jpg")
    picture = Image.open(io.BytesIO(saved.value.path().read_bytes()))
    assert picture.format == "JPEG"
    assert picture.width == page.evaluate("document.querySelector('#picture').width")


def test_a_full_server_says_so_and_the_page_tries_again(desk, eventually):
    page = desk.alone()
    full = {"status": "error", "error": "All 3 places are taken."}
    page.route("**/stream", lambda it: it.fulfill(status=503, json=full))
    page.goto(desk.server.url)
    page.wait_for_selector("text=All 3 places are taken.")
    page.unroute("**/stream")
    page.wait_for_selector("#notice", state="hidden")
    page.wait_for_selector(FIRST_PICTURE)
    desk.expect_network_report(503)


def test_where_a_script_cannot_read_the_stream_the_plain_image_stands_in(desk, pixels, eventually):
    page = desk.alone()

    def garble(route):
        if route.request.resource_type == "image":
            route.continue_()
        else:
            route.fulfill(body="no parts at all\n" * 5)

    page.route("**/stream", garble)
    page.goto(desk.server.url, wait_until="commit")
    page.wait_for_selector("img.plain:visible")
    eventually(lambda: pixels(page.locator("img.plain")).std() > 3)
    assert page.locator("#picture").count() == 0
