"""A real Chromium on the page of a real server.

The server runs as its own process, as a user starts it, with the demo model. Everything that waits
has a limit. Any message on a page's console fails the test.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from tests.chromium import launch
from tests.page import colours
from tests.page.desk import Desk
from tests.page.field import emptied
from tests.page.live_server import LiveServer, serving

BUSY_S = 90.0  # browsers are slow on busy cores, and a test that passes does not wait


@pytest.fixture(scope="package")  # not longer: Playwright runs once per thread at a time
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = launch(playwright.chromium)
        yield running
        running.close()


@pytest.fixture(scope="package")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with serving(tmp_path_factory.mktemp("state")) as server:
        yield server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[LiveServer]:
    """A server for one test, which may kill it."""
    with serving(tmp_path) as server:
        yield server


@pytest.fixture
def server(shared_server: LiveServer) -> LiveServer:
    shared_server.as_new()
    return shared_server


@pytest.fixture
def desk(browser: Browser, server: LiveServer) -> Iterator[Desk]:
    yield from _desk(browser, server)


@pytest.fixture
def own_desk(browser: Browser, own_server: LiveServer) -> Iterator[Desk]:
    yield from _desk(browser, own_server)


def _desk(browser: Browser, server: LiveServer) -> Iterator[Desk]:
    desk = Desk(browser, server)
    try:
        yield desk
    finally:
        desk.close()
    assert desk.complaints() == []


@pytest.fixture(scope="session")
def pixels() -> Callable[[Locator], np.ndarray]:
    """An element as it is on the screen, without a border of two pixels: [H, W, 3]."""

    def look(element: Locator) -> np.ndarray:
        seen = Image.open(io.BytesIO(element.screenshot())).convert("RGB")
        return np.asarray(seen).astype(int)[2:-2, 2:-2]

    return look


@pytest.fixture(scope="session")
def colour_of() -> Callable[[np.ndarray], str]:
    return colours.colour_of


@pytest.fixture
def eventually(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Waits until `what()` is as wanted; fails with its last value otherwise."""
    desks = [name for name in ("desk", "own_desk") if name in request.fixturenames]
    rest = request.getfixturevalue(desks[0]).rest if desks else lambda: time.sleep(0.05)

    def wait(what: Callable[[], object], wanted: object = True, limit_s: float = BUSY_S) -> None:
        deadline = time.monotonic() + limit_s
        while (found := what()) != wanted:
            assert time.monotonic() < deadline, f"{found!r} after {limit_s} s, not {wanted!r}"
            rest()

    return wait


@pytest.fixture
def page(desk: Desk) -> Page:
    """The page with a picture and an empty field."""
    return emptied(desk, desk.window())


@pytest.fixture
def http_page(desk: Desk) -> Page:
    """The same without the control socket: its changes are requests."""
    return emptied(desk, desk.without_socket())


@pytest.fixture
def still_page(desk: Desk) -> Page:
    """A page whose clock moves only as far as the test lets it."""
    window = desk.window()
    window.clock.install()
    emptied(desk, window)
    window.clock.pause_at(window.evaluate("Date.now()") / 1000 + 4)  # before the worker seems dead
    return window
