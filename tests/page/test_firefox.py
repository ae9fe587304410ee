"""The page in a real Firefox: it paints, follows the prompt, and reconnects."""

from __future__ import annotations

import io
import os
import platform
import signal
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

from benchmarks.firefox_driver import Firefox, available, firefox
from tests.page.desk import FIRST_PICTURE
from tests.page.live_server import LiveServer, serving
from tests.page.test_windows import QuickServer

pytestmark = pytest.mark.browser

FRAME = "Number(document.getElementById('picture').dataset.frame)"
SEEN = """async () => {
    const picture = document.getElementById('picture');
    const until = performance.now() + 45000;
    const frames = new Set();
    while (frames.size <= 20 && performance.now() < until) {
        frames.add(picture.dataset.frame);
        await new Promise((done) => setTimeout(done, 20));
    }
    return frames.size;
}"""
ENTER_FIELD = "['focus', 'select'].forEach((it) => document.getElementById('prompt')[it]())"
NOTICE = "document.getElementById('notice').checkVisibility()"


def on_debian() -> bool:
    """On Debian ./setup.sh --dev installs Firefox, so a missing one is a failure."""
    try:
        return platform.freedesktop_os_release()["ID"] == "debian"
    except OSError:
        return False


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    if not available() and not (on_debian() or "CI" in os.environ):
        pytest.skip("no firefox-esr here")
    with firefox(tmp_path_factory.mktemp("firefox")) as running:
        running.resize(1280, 800)
        yield running


@pytest.fixture
def page(running: Firefox) -> Iterator[Callable[[LiveServer], Firefox]]:
    """page(server) is the window with the first picture on it."""

    def at(server: LiveServer) -> Firefox:
        running.open(server.url)
        while not arrived(running):
            time.sleep(0.05)
        running.console.clear()
        return running

    yield at
    running.open("about:blank", wait="complete")  # or the next test finds this one's page


def arrived(page: Firefox) -> bool:
    """Whether the first picture is painted; also while the next page is being loaded."""
    try:
        return page.run(f"document.querySelector('{FIRST_PICTURE}') !== null") is True
    except RuntimeError:  # the page that was asked is gone
        return False


def wait_for(page: Firefox, code: str, limit_s: float = 90) -> None:
    deadline = time.monotonic() + limit_s
    while page.run(code) is not True:
        assert time.monotonic() < deadline, f"{code} is not true after {limit_s} s"
        time.sleep(0.05)


def pixels(page: Firefox) -> np.ndarray:
    seen = Image.open(io.BytesIO(page.screenshot("#picture"))).convert("RGB")
    return np.asarray(seen).astype(int)[2:-2, 2:-2]


@pytest.fixture
def alone(running: Firefox) -> Iterator[None]:
    """Windows without shared workers, so that a test can see their requests."""
    code = "() => { delete window.SharedWorker; }"
    script = running.ask("script.addPreloadScript", functionDeclaration=code)["script"]
    yield
    running.ask("script.removePreloadScript", script=script)


@pytest.mark.usefixtures("alone")
def test_firefox_paints_frames_that_move_and_reports_them(page, server, eventually):
    page = page(server)
    before = pixels(page)
    eventually(lambda: np.abs(pixels(page) - before).mean() > 0.2)
    reports = "performance.getEntriesByType('resource').filter((it) => it.name.includes('/shown'))"
    wait_for(page, f"{reports}.length > 5 && {reports}.every((it) => it.responseStatus === 204)")
    assert page.console == []


def test_firefox_shows_the_words_that_are_typed(page, server, colour_of, eventually):
    page = page(server)
    for colour in ("red", "green"):
        page.run(ENTER_FIELD)
        words = f"a circle on a {colour} background"
        page.press(words)
        eventually(lambda: server.ask("GET", "/status")["prompt"], words)
        eventually(lambda: colour_of(pixels(page)), colour)
    assert page.console == []


def test_firefox_reconnects_by_itself_after_the_server_was_killed(page, own_server):
    page = page(own_server)
    own_server.end(signal.SIGKILL)
    wait_for(page, NOTICE)
    own_server.start()
    wait_for(page, f"!{NOTICE}")
    shown = page.run(FRAME)
    wait_for(page, f"{FRAME} > 0 && {FRAME} !== {shown}")  # the new server counts from 1 again
    wait_for(page, "document.getElementById('state-word').textContent === 'Streaming'")


def test_seven_windows_of_firefox_share_one_stream_and_the_words_reach_them_all(
    page, tmp_path, eventually
):
    with serving(tmp_path, QuickServer) as server:
        seven_windows(page(server), server, eventually)


def seven_windows(first, server, eventually):
    windows = [first] + [first.another() for _ in range(6)]
    try:
        for window in windows[1:]:
            window.open(server.url)
        for window in windows:
            eventually(lambda window=window: arrived(window))
        assert [window.run("document.hidden") for window in windows] == [False] * 7
        assert server.ask("GET", "/status")["viewers"] == 1
        words = "a circle on a green background"
        windows[-1].run(ENTER_FIELD)
        windows[-1].press(words)
        eventually(lambda: server.ask("GET", "/status")["prompt"], words)
        after = server.ask("POST", "/prompt", {"prompt": words})["frame"]  # changes nothing
        for window in windows:
            wait_for(window, f"{FRAME} > {after}")
        # If no acknowledgement arrived, the server would send about 10 in this time.
        seen = f"({SEEN})().then((count) => count > 20)"
        wait_for(windows[0], seen)
    finally:
        for window in windows[1:]:
            window.close()
    assert first.console == []
