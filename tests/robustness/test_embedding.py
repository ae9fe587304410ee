"""In a real Chromium, pages of named sites show the page and the stream, and others cannot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Frame, Page, sync_playwright

from benchmarks.firefox_driver import available, firefox
from tests.chromium import launch
from tests.robustness.conftest import Program
from tests.robustness.raw import eventually
from tests.robustness.test_origins import other_port as other_port
from tests.robustness.test_origins import page as page
from tests.robustness.test_origins import painted
from tests.robustness.test_origins import program as program

pytestmark = pytest.mark.browser

NO_REFERER = "no-referrer"
# Its width once it is loaded, 0 if it is refused.
SHOW_IMAGE = """([address, policy]) => new Promise((done) => {
    const image = document.createElement('img');
    image.referrerPolicy = policy;
    image.onload = () => done(image.naturalWidth);
    image.onerror = () => done(0);
    image.src = address;
    document.body.append(image);
})"""
# Also refused ones are loaded: an error page of the browser.
SHOW_FRAME = """([address, policy]) => new Promise((done) => {
    const frame = document.createElement('iframe');
    frame.referrerPolicy = policy;
    frame.allow = 'fullscreen; screen-wake-lock; midi; microphone';  // as in docs/playing.md
    frame.onload = () => done();
    frame.src = address;
    document.body.append(frame);
})"""
OPEN_SOCKET = """(address) => new Promise((done) => {
    const socket = new WebSocket(address);
    socket.onopen = () => done(true);
    socket.onerror = () => done(false);
})"""
READ_PIXEL = """() => {
    const pen = document.createElement('canvas').getContext('2d');
    pen.drawImage(document.querySelector('img'), 0, 0);
    try { pen.getImageData(0, 0, 1, 1); return true; } catch { return false; }
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser to which all names under .example are this machine."""
    names = "--host-resolver-rules=MAP *.example 127.0.0.1"
    with sync_playwright() as play:
        opened = launch(play.chromium, names)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory, other_port: int) -> Iterator[Program]:
    """A program whose pages and stream http://127.0.0.1:other_port may embed, but not localhost."""
    state = tmp_path_factory.mktemp("named")
    origin = f"http://127.0.0.1:{other_port}"
    with Program("sound", state, "--embed-origins", origin) as running:
        running.wait_until_healthy()
        yield running


def width(page: Page, address: str, policy: str = "") -> int:
    return int(page.evaluate(SHOW_IMAGE, [address, policy]))


def framed(outer: Page | Frame, address: str, policy: str = "") -> Frame | None:
    """The new frame with `address` in it; None if the browser shows an error instead."""
    outer.evaluate(SHOW_FRAME, [address, policy])
    frame = (outer.page if isinstance(outer, Frame) else outer).frames[-1]
    # The browser reports where a frame has gone after it has loaded.
    frame.wait_for_url(lambda url: url not in ("", "about:blank"), wait_until="commit")
    return None if frame.url.startswith("chrome-error:") else frame


def may_embed(page: Page, address: str, policy: str = "") -> list[bool]:
    """Whether the page can show our page, the stream and a snapshot."""
    images = [width(page, address + path, policy) > 0 for path in ("/stream", "/snapshot.jpg")]
    return [framed(page, address + "/", policy) is not None, *images]


HOSTS = pytest.mark.parametrize("host", ["localhost", "127.0.0.1"], ids=["cross-site", "same-site"])


@HOSTS
def test_a_named_site_frames_the_page_which_paints_and_obeys(
    page: Page, named: Program, other_port: int, host: str
) -> None:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"http://127.0.0.1:{other_port}/")
    frame = framed(page, f"http://{host}:{named.port}/?clean")
    assert frame is not None
    eventually(lambda: painted(frame))
    assert frame.evaluate("document.body.classList.contains('clean')")
    before = frame.evaluate("Number(document.getElementById('picture').dataset.frame)")
    eventually(lambda: frame.evaluate(f"Number(picture.dataset.frame) > {before} + 10"))
    frame.evaluate("location.replace('./')")
    frame.wait_for_selector("#prompt")
    eventually(lambda: painted(frame))
    words = f"from a frame on {host}"
    frame.fill("#prompt", words)
    frame.press("#prompt", "Enter")
    eventually(lambda: named.status()["prompt"] == words)
    assert named.status()["controllers"] == 1, "the page in the frame has its control socket"
    assert not [line for line in said if "policy" in line.lower() or "rror" in line], said


@HOSTS
def test_a_named_site_shows_the_stream_and_cannot_read_it(
    page: Page, named: Program, other_port: int, host: str
) -> None:
    page.goto(f"http://127.0.0.1:{other_port}/")
    assert width(page, f"http://{host}:{named.port}/stream") > 0
    assert width(page, f"http://{host}:{named.port}/snapshot.jpg") > 0
    assert page.evaluate(READ_PIXEL) is False


@HOSTS
def test_neither_a_named_site_nor_another_opens_the_control_socket(
    page: Page, named: Program, other_port: int, host: str
) -> None:
    address = f"ws://{host}:{named.port}/control"
    for site in ("127.0.0.1", "localhost"):
        page.goto(f"http://{site}:{other_port}/")
        assert page.evaluate(OPEN_SOCKET, address) is False
    page.goto(f"http://{host}:{named.port}/")
    assert page.evaluate(OPEN_SOCKET, address) is True


@HOSTS
def test_a_named_site_that_hides_its_address_is_refused(
    page: Page, named: Program, other_port: int, host: str
) -> None:
    page.goto(f"http://127.0.0.1:{other_port}/")
    address = f"http://{host}:{named.port}"
    assert may_embed(page, address, NO_REFERER) == [False] * 3


@HOSTS
def test_another_site_is_refused_although_one_is_named(
    page: Page, named: Program, other_port: int, host: str
) -> None:
    page.goto(f"http://localhost:{other_port}/")
    assert may_embed(page, f"http://{host}:{named.port}") == [False] * 3


def test_another_site_cannot_frame_the_page_through_a_named_one(
    page: Page, named: Program, other_port: int
) -> None:
    page.goto(f"http://localhost:{other_port}/")
    between = framed(page, f"http://127.0.0.1:{other_port}/")
    assert between is not None
    assert framed(between, f"http://localhost:{named.port}/") is None


def test_by_default_no_site_embeds(page: Page, program: Program, other_port: int) -> None:
    page.goto(f"http://127.0.0.1:{other_port}/")
    assert may_embed(page, f"http://localhost:{program.port}") == [False] * 3


def test_a_page_from_a_file_is_refused(page: Page, named: Program, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text("<!doctype html><body></body>")
    page.goto(file.as_uri())
    assert may_embed(page, f"http://localhost:{named.port}") == [False] * 3


@pytest.mark.skipif(not available(), reason="needs firefox-esr")
def test_firefox_shows_the_page_and_the_stream_on_a_named_site_only(
    named: Program, other_port: int, tmp_path: Path
) -> None:
    address = f"http://localhost:{named.port}"
    with firefox(tmp_path) as window:

        def widths(host: str) -> list[int]:
            window.open(f"http://{host}:{other_port}/", wait="complete")
            return [
                int(window.run(f"({SHOW_IMAGE})(['{address}{path}', ''])"))
                for path in ("/stream", "/snapshot.jpg")
            ]

        assert widths("localhost") == [0, 0]
        assert min(widths("127.0.0.1")) > 0
        window.open(f"http://127.0.0.1:{other_port}/again", wait="complete")
        eventually(lambda: named.status()["viewers"] == 0)
        window.run(f"({SHOW_FRAME})(['{address}/', '']).then(() => null)")
        eventually(lambda: named.status()["viewers"] == 1)


STREAM, STUDIO = "stream.studio.example", "studio.example"
COUSIN, FOREIGN = "www.studio.example", "elsewhere.example"


@pytest.fixture
def far(tmp_path: Path, other_port: int) -> Iterator[Program]:
    """A program to which visitors by its name need a token."""
    origins = f"http://{STUDIO}:{other_port},http://{FOREIGN}:{other_port}"
    with Program("sound", tmp_path, "--embed-origins", origins) as running:
        running.wait_until_healthy()
        yield running


def test_with_a_token_the_page_and_the_stream_show_only_on_the_servers_own_site(
    page: Page, far: Program, other_port: int, tmp_path: Path
) -> None:
    """Over plain http to a name, where the browser sends no Sec-Fetch headers."""
    token = json.loads((tmp_path / "tokens.json").read_text())["watch"]
    address = f"http://{STREAM}:{far.port}"
    page.goto(f"http://{STUDIO}:{other_port}/")
    assert may_embed(page, address) == [False] * 3, "nobody has logged in yet"
    page.goto(f"{address}/#{token}", wait_until="commit")
    eventually(lambda: painted(page))
    page.goto(f"http://{STUDIO}:{other_port}/")
    assert may_embed(page, address) == [True] * 3
    page.goto(f"http://{COUSIN}:{other_port}/")
    assert may_embed(page, address) == [False] * 3, "not named"
    page.goto(f"http://{FOREIGN}:{other_port}/")
    assert may_embed(page, address) == [False] * 3, "named, but its frames get no cookie"
