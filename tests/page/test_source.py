"""The source panel in a real Chromium with a fake camera; the test plays the server's part."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.page.camera import KEEP_STREAMS, TRACKS, another, as_file, halves, sides, write_camera
from tests.page.desk import FIRST_PICTURE, Desk
from tests.page.live_server import LiveServer
from tests.page.source_side import SourceSide

pytestmark = pytest.mark.browser

LIVE, OVER = [[["video", "live"]]], [[["video", "ended"]]]
HIDE = """(hidden) => {
    Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
    document.dispatchEvent(new Event('visibilitychange'));
}"""
DROP = """([bytes, name, type]) => {
    const data = new DataTransfer();
    const file = Uint8Array.from(bytes);
    data.items.add(new File([file], name, {type}));
    const dragged = {dataTransfer: data, bubbles: true, cancelable: true};
    for (const step of ['dragover', 'drop']) {
        document.body.dispatchEvent(new DragEvent(step, dragged));
    }
}"""


@pytest.fixture(scope="module")
def seeing(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A Chromium that allows everything, whose camera is red at the left and blue at the right."""
    path = tmp_path_factory.mktemp("camera") / "halves.mjpeg"
    write_camera(path)
    plays = f"--use-file-for-fake-video-capture={path}"
    with another(browser, "--use-fake-ui-for-media-stream", plays) as running:
        yield running


@pytest.fixture(scope="module")
def blind(browser: Browser) -> Iterator[Browser]:
    """A Chromium that denies whatever a page asks for."""
    with another(browser, "--deny-permission-prompts") as running:
        yield running


@pytest.fixture
def desk(seeing: Browser, server: LiveServer) -> Iterator[Desk]:
    desk = Desk(seeing, server)
    try:
        yield desk
    finally:
        desk.close()
    assert desk.complaints() == []


@pytest.fixture
def page(desk: Desk) -> Page:
    return desk.window()


@pytest.fixture
def side(page: Page, desk: Desk) -> Iterator[SourceSide]:
    """The page with its source panel open."""
    found = SourceSide(page)
    opened(page, desk)
    yield found
    page.unroute_all(behavior="ignoreErrors")  # a request may be under way


def opened(page: Page, desk: Desk) -> None:
    page.add_init_script(KEEP_STREAMS)
    page.goto(desk.server.url)
    page.wait_for_selector(FIRST_PICTURE)
    page.evaluate("document.getElementById('source').open = true")


def press(page: Page, kind: str) -> None:
    page.click(f"#source-kind [data-kind={kind}]")


def pressed(page: Page) -> list[str | None]:
    found = page.locator("#source-kind [aria-pressed=true]").all()
    return [it.get_attribute("data-kind") for it in found]


def said(page: Page) -> str:
    return page.inner_text("#source-say")


# ------------------------------------------------------------------------------ what is sent


def test_the_camera_is_sent_mirrored_in_the_size_of_the_stage(page, side, eventually):
    assert page.locator("#capturing").is_hidden()
    press(page, "camera")
    eventually(lambda: len(side.pictures) >= 3)
    picture = side.newest()
    stage = page.evaluate(
        "['width', 'height'].map((name) => document.querySelector('#picture')[name])"
    )
    assert [picture.shape[1], picture.shape[0]] == stage
    assert sides(picture) == "blue red", "as in a mirror"
    assert page.inner_text("#capturing") == "Camera is on"
    assert pressed(page) == ["camera"]
    assert side.kind == "picture"
    assert page.locator("#source-preview").is_visible()
    page.uncheck("#source-mirror")
    eventually(lambda: sides(side.newest()), "red blue")


def test_two_pictures_are_unacknowledged_at_first_and_the_newest_is_sent_then(
    page, side, eventually
):
    side.answers = False
    press(page, "camera")
    eventually(lambda: side.unacknowledged, 2)
    page.wait_for_timeout(700)
    assert len(side.pictures) == 2
    assert sides(side.newest()) == "blue red"
    page.uncheck("#source-mirror")  # the pictures that were sent are out of date
    page.wait_for_timeout(300)
    assert len(side.pictures) == 2
    side.acknowledge()
    eventually(lambda: len(side.pictures), 3)
    assert sides(side.newest()) == "red blue", "a picture of now, none that waited"
    page.wait_for_timeout(300)
    assert len(side.pictures) == 3
    side.acknowledge(2)
    eventually(lambda: len(side.pictures) >= 5)


def test_a_message_of_the_server_about_a_picture_is_shown(page, side, eventually):
    side.answers = False
    press(page, "camera")
    eventually(lambda: side.unacknowledged, 2)
    side.acknowledge(1, message="The picture is damaged.")
    eventually(lambda: said(page), "The picture is damaged.")
    side.acknowledge(1)
    eventually(lambda: said(page), "")


def test_nothing_is_sent_while_the_scene_uses_another_source(page, side, eventually):
    press(page, "camera")
    eventually(lambda: len(side.pictures) >= 2)
    side.choose("feedback")
    eventually(lambda: page.locator("#source-moves").is_visible())
    page.wait_for_timeout(300)
    count = len(side.pictures)
    page.wait_for_timeout(500)
    assert len(side.pictures) == count
    assert page.evaluate(TRACKS) == LIVE
    assert page.locator("#capturing").is_visible(), "the camera is on, and the page says so"
    side.choose("picture")
    eventually(lambda: len(side.pictures) > count)


# ------------------------------------------------------------------------------- off means off


def test_off_means_off(page, side, eventually):
    press(page, "camera")
    eventually(lambda: len(side.pictures) >= 2)
    assert page.evaluate(TRACKS) == LIVE
    press(page, "none")
    eventually(lambda: page.evaluate(TRACKS), OVER)
    eventually(lambda: side.kind, "none")
    assert side.forgotten == 1, "the server forgets the last picture"
    assert page.locator("#capturing").is_hidden()
    assert page.locator("#source-preview").is_hidden()
    assert pressed(page) == ["none"]
    count = len(side.pictures)
    page.wait_for_timeout(500)
    assert len(side.pictures) == count


def test_the_server_forgets_what_is_still_on_its_way_to_it(page, side, eventually):
    side.answers = False
    press(page, "camera")
    eventually(lambda: side.unacknowledged, 2)
    press(page, "none")
    eventually(lambda: page.evaluate(TRACKS), OVER)
    page.wait_for_timeout(300)
    assert side.forgotten == 0, "a picture that comes after the request would stay"
    side.acknowledge(2)
    eventually(lambda: side.forgotten, 1)
    eventually(lambda: side.kind, "none")


def test_pictures_on_a_connection_that_broke_are_not_waited_for(page, side, eventually):
    side.answers = False
    press(page, "camera")
    eventually(lambda: side.unacknowledged, 2)
    press(page, "none")
    side.hang_up()
    eventually(lambda: side.forgotten, 1)


def test_a_picture_that_could_not_be_forgotten_is_forgotten_at_the_next_press(
    desk, page, side, eventually
):
    press(page, "camera")
    eventually(lambda: len(side.pictures) >= 2)
    side.refuses_to_forget = True
    press(page, "none")
    eventually(lambda: said(page), "Too many changes.")
    desk.expect_network_report(429)
    side.refuses_to_forget = False
    press(page, "none")
    eventually(lambda: side.forgotten, 1)


def test_a_hidden_page_stops_its_camera(page, side, eventually):
    press(page, "camera")
    eventually(lambda: len(side.pictures) >= 2)
    page.evaluate(HIDE, True)
    eventually(lambda: side.closed, 1)  # by which the server forgets the picture
    assert page.evaluate(TRACKS) == OVER
    assert page.locator("#capturing").is_hidden()
    count = len(side.pictures)
    page.evaluate(HIDE, False)
    assert said(page).startswith("The camera was stopped because this page was hidden")
    page.wait_for_timeout(500)
    assert page.evaluate(TRACKS) == OVER, "and does not begin by itself"
    assert len(side.pictures) == count


def test_a_pinned_camera_goes_on_while_the_page_is_hidden(page, side, eventually):
    press(page, "camera")
    page.check("#source-pinned")
    eventually(lambda: len(side.pictures) >= 2)
    page.evaluate(HIDE, True)
    count = len(side.pictures)
    eventually(lambda: len(side.pictures) > count + 3)
    assert page.evaluate(TRACKS) == LIVE
    page.evaluate(HIDE, False)


def test_an_unplugged_camera_is_reported(page, side, eventually):
    press(page, "camera")
    eventually(lambda: len(side.pictures) >= 1)
    page.evaluate("streams[0].tracks[0].dispatchEvent(new Event('ended'))")
    assert said(page) == "The camera was disconnected."
    assert page.locator("#capturing").is_hidden()
    press(page, "camera")
    count = len(side.pictures)
    eventually(lambda: len(side.pictures) > count)
    assert said(page) == ""


def test_a_camera_that_is_taken_back_while_the_browser_asks_is_closed(page, side, eventually):
    page.evaluate("""() => {
        const real = navigator.mediaDevices.getUserMedia;
        const gate = new Promise((open) => { window.allow = open; });
        navigator.mediaDevices.getUserMedia = (wanted) => gate.then(() => real(wanted));
    }""")
    press(page, "camera")
    assert said(page) == "The browser asks for permission."
    press(page, "none")
    page.evaluate("allow()")
    eventually(lambda: page.evaluate(TRACKS), OVER)
    assert page.locator("#capturing").is_hidden()
    assert side.pictures == []


def test_a_source_that_the_server_refuses_closes_the_camera(page, side, eventually):
    side.refusal = "The engine paints from words only."
    press(page, "camera")
    eventually(lambda: said(page), side.refusal)
    assert page.evaluate(TRACKS) == OVER
    assert page.locator("#capturing").is_hidden()
    assert side.pictures == []


@pytest.mark.parametrize("view", ["watch", "clean"])
def test_every_view_says_that_the_camera_is_on(page, side, eventually, view):
    press(page, "camera")
    eventually(lambda: page.locator("#capturing").is_visible())
    page.click(f"#{view}")
    eventually(lambda: page.locator(".panel #form").is_visible(), False)
    box = page.locator("#capturing").bounding_box()
    assert box is not None
    assert box["width"] > 60
    at = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
    top = page.evaluate("([x, y]) => document.elementFromPoint(x, y).id", at)
    assert top == "capturing", "nothing covers it"


# ------------------------------------------------------------------------ screens and files


def test_a_shared_screen_is_sent_and_says_so(page, side, eventually):
    press(page, "screen")
    eventually(lambda: len(side.pictures) >= 2)
    assert page.inner_text("#capturing") == "Screen is shared"
    assert not page.is_checked("#source-mirror")
    page.evaluate("streams[0].tracks[0].dispatchEvent(new Event('ended'))")
    assert said(page) == "The screen is no longer shared."


def test_a_picture_file_is_sent_once_unmirrored_and_again_to_a_new_socket(page, side, eventually):
    wide = {"name": "wide.png", "mimeType": "image/png", "buffer": as_file(halves(900, 300), "PNG")}
    page.set_input_files("#source-file", wide)
    eventually(lambda: len(side.pictures), 1)
    assert sides(side.newest()) == "red blue"
    assert page.locator("#capturing").is_hidden(), "a file is not a camera"
    assert pressed(page) == ["file"]
    page.wait_for_timeout(400)
    assert len(side.pictures) == 1
    page.evaluate(HIDE, True)
    page.wait_for_timeout(300)
    assert side.closed == 0, "or the server would forget the picture"
    page.evaluate(HIDE, False)
    side.hang_up()
    eventually(lambda: len(side.pictures), 2)


def test_a_dropped_picture_without_a_recipe_is_played(page, side, eventually):
    page.evaluate(DROP, [list(as_file(halves())), "halves.jpg", "image/jpeg"])
    eventually(lambda: len(side.pictures), 1)
    assert side.kind == "picture"


def test_a_video_file_repeats_muted(page, side, eventually, tmp_path):
    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg here")
    film = tmp_path / "film.webm"
    still = tmp_path / "halves.png"
    still.write_bytes(as_file(halves(), "PNG"))
    made = ["-loop", "1", "-i", still, "-t", "0.4", "-r", "10", "-c:v", "libvpx", film]
    subprocess.run(["ffmpeg", "-loglevel", "error", "-y", *made], check=True, timeout=60)
    page.set_input_files("#source-file", film)
    eventually(lambda: len(side.pictures) >= 12)
    assert sides(side.newest()) == "red blue"


def test_a_file_that_is_no_picture_gets_one_sentence(page, side, eventually):
    page.set_input_files(
        "#source-file", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"text"}
    )
    eventually(lambda: said(page).startswith("The browser cannot show this file;"))
    assert side.kind == "none"
    assert pressed(page) == ["none"]


# ---------------------------------------------------------------------------------- refusals


def test_a_camera_that_is_not_allowed_is_one_sentence(blind, server, eventually):
    desk = Desk(blind, server)
    page = desk.window()
    opened(page, desk)
    press(page, "camera")
    eventually(lambda: said(page).startswith("The camera is not allowed;"))
    assert pressed(page) == ["none"]
    desk.close()
    assert desk.complaints() == []


@pytest.mark.parametrize(
    ("kind", "error", "sentence"),
    [
        ("camera", "NotFoundError", "There is no camera; connect one and try again."),
        (
            "camera",
            "NotReadableError",
            "The camera cannot be read; another program may be using it.",
        ),
        ("camera", "AbortError", "The browser refuses the camera: of the test"),
        (
            "screen",
            "NotAllowedError",
            "No screen was shared; choose one in the dialog of the browser.",
        ),
    ],
)
def test_each_refusal_of_the_browser_is_one_sentence(page, side, eventually, kind, error, sentence):
    page.evaluate(
        """(name) => {
            const refuse = () => Promise.reject(new DOMException('of the test', name));
            Object.assign(navigator.mediaDevices, {getUserMedia: refuse, getDisplayMedia: refuse});
        }""",
        error,
    )
    press(page, kind)
    eventually(lambda: said(page), sentence)
    assert pressed(page) == ["none"]


def test_a_page_without_a_secure_address_says_what_to_do(page, desk, eventually):
    page.add_init_script("""
        Object.defineProperty(window, 'isSecureContext', {value: false});
        Object.defineProperty(Navigator.prototype, 'mediaDevices', {value: undefined});
    """)
    opened(page, desk)
    for kind in ("camera", "screen"):
        press(page, kind)
        eventually(lambda: "only to pages on https or localhost" in said(page))
        assert "through the tunnel" in said(page)


# ------------------------------------------------------------------------------- the sliders


def test_feedback_shows_its_sliders_and_closes_the_camera(page, side, eventually):
    press(page, "camera")
    eventually(lambda: len(side.pictures) >= 1)
    assert page.locator("#source-moves").is_hidden()
    press(page, "feedback")
    eventually(lambda: side.kind, "feedback")
    eventually(lambda: page.evaluate(TRACKS), OVER)
    for name in ("zoom", "rotation", "shift_x", "shift_y", "strength"):
        assert page.locator(f"#{name}").is_visible(), name
        assert page.get_attribute(f"#{name}", "aria-valuetext"), name


def test_the_sliders_set_the_scene(page, side, server, eventually):
    side.choose("feedback")
    values = {"strength": 0.35, "zoom": 1.2, "rotation": -20, "shift_x": 0.1, "shift_y": -0.2}
    page.fill("#fade", "0")
    for name, value in values.items():
        page.fill(f"#{name}", str(value))
    eventually(lambda: {name: server.ask("GET", "/scene")[name] for name in values}, values)
    page.click("#source-still")
    eventually(lambda: server.ask("GET", "/scene")["zoom"], 1)
    eventually(lambda: page.inner_text("#rotation-value"), "0°/s")
    server.ask("PATCH", "/scene", {"strength": 0.6, "fade_s": 0})
    eventually(lambda: page.inner_text("#strength-value"), "0.60")
