"""A real Chromium on the page of a real server.

The server runs as its own process, as a user starts it, with the demo model. Everything that waits
has a limit. A page that says anything on its console makes its test fail.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from tests.ports import free_port
from tests.server import lines_of_failure

ROOT = Path(__file__).resolve().parents[2]
START_S = 90
FAILED_REQUEST = "Failed to load resource"
FIRST_PICTURE = '#picture[data-frame]:not([data-frame="0"])'
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
FIRST_PROMPT = "three yellow stars on a night sky"
COLOURS = {
    "red": (216, 36, 40),
    "orange": (245, 134, 22),
    "yellow": (250, 214, 40),
    "green": (46, 160, 62),
    "blue": (38, 92, 220),
    "purple": (128, 48, 186),
    "pink": (250, 132, 182),
    "white": (246, 246, 244),
    "black": (22, 22, 26),
    "grey": (134, 137, 142),
    "brown": (124, 74, 38),
}

# Bjorn Ottosson's OKLab, https://bottosson.github.io/posts/oklab/
TO_LMS = np.array(
    [
        [0.4122214708, 0.2119034982, 0.0883024619],
        [0.5363325363, 0.6806995451, 0.2817188376],
        [0.0514459929, 0.1073969566, 0.6299787005],
    ]
)
TO_LAB = np.array(
    [
        [0.2104542553, 1.9779984951, 0.0259040371],
        [0.7936177850, -2.4285922050, 0.7827717662],
        [-0.0040720468, 0.4505937099, -0.8086757660],
    ]
)


class LiveServer:
    """`realtime_stream.py` on a port of its own; it can be killed and started again."""

    program: tuple[str, ...] = ("realtime_stream.py",)

    def __init__(self, state_dir: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.state_dir = state_dir
        self._log = state_dir / "server.log"
        self._env = os.environ | {
            "SERVER_PORT": str(self.port),
            "INITIAL_PROMPT": FIRST_PROMPT,
            "DEVICE": "cpu",
            "TARGET_FPS": "8",  # leaves the machine's cores to the browser
            "STATE_DIR": str(state_dir),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, *self.program, "--server-port", str(self.port)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=self._env, stdout=log, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + START_S
        while not self.healthy():
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the server did not start:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.1)
        assert not lines_of_failure(self._log.read_text()), self._log.read_text()

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=30)
            self._process = None

    def healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The server's JSON answer to a request that does not come from the page."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def as_new(self) -> None:
        """Back to the first words and the first motion, once the windows before are gone.

        What they sent at the last moment was answered before this question about them was.
        """
        deadline = time.monotonic() + START_S
        while self.ask("GET", "/status")["viewers"]:
            assert time.monotonic() < deadline, "a window of an earlier test still watches"
            time.sleep(0.05)
        self.ask("POST", "/prompt", {"prompt": FIRST_PROMPT})
        self.ask("PATCH", "/scene", {"motion": "walk", "speed": 0.15})


class Desk:
    """One test's browser windows on the server, and what their consoles said."""

    def __init__(self, browser: Browser, server: LiveServer) -> None:
        self.server = server
        self.console: list[str] = []
        self._browser = browser
        self._contexts: list[Any] = []

    def window(self, **options: Any) -> Page:
        """An empty window; the options are a Playwright context's."""
        context = self._browser.new_context(**(DESKTOP | options))
        context.set_default_timeout(30_000)
        self._contexts.append(context)
        return self.beside(context)

    def alone(self, **options: Any) -> Page:
        """A window of a browser without shared workers; a test can intercept its stream."""
        page = self.window(**options)
        page.add_init_script("delete window.SharedWorker")
        return page

    def beside(self, context: Any) -> Page:
        """One more empty window of the same browser profile."""
        page = context.new_page()
        page.on("console", lambda said: self.console.append(f"{said.type}: {said.text}"))
        page.on("pageerror", lambda error: self.console.append(f"error: {error}"))
        return page

    def open(self, path: str = "/", **options: Any) -> Page:
        """A window on the page, once the first picture is on it."""
        page = self.window(**options)
        page.goto(self.server.url + path)
        page.wait_for_selector(FIRST_PICTURE)
        return page

    def rest(self, seconds: float = 0.05) -> None:
        """Passes the time; the windows' events and routes are served meanwhile."""
        if pages := [page for context in self._contexts for page in context.pages]:
            pages[-1].wait_for_timeout(seconds * 1000)
        else:
            time.sleep(seconds)

    def wait_for_failed_request(self) -> None:
        """Until the browser has reported a refused or failed request; some tests cause them."""
        deadline = time.monotonic() + 30
        while not any(FAILED_REQUEST in said for said in self.console):
            assert time.monotonic() < deadline, "no request has failed"
            self.rest()

    def forgive_network(self) -> None:
        """Drops the browser's reports of refused and failed requests; there must be some."""
        self.wait_for_failed_request()
        self.console = [said for said in self.console if FAILED_REQUEST not in said]

    def close(self) -> None:
        for context in self._contexts:
            context.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if chromium is None and "CI" not in os.environ:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        yield running
        running.close()


@contextmanager
def serving(state: Path, kind: type[LiveServer] = LiveServer) -> Iterator[LiveServer]:
    server = kind(state)
    try:
        server.start()
        yield server
    finally:
        server.end()


@pytest.fixture(scope="session")
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
    assert desk.console == []


@pytest.fixture(scope="session")
def pixels() -> Callable[[Locator], np.ndarray]:
    """What the eye sees of an element: its pixels on the screen, less the rim: [H, W, 3]."""

    def look(element: Locator) -> np.ndarray:
        seen = Image.open(io.BytesIO(element.screenshot())).convert("RGB")
        return np.asarray(seen).astype(int)[2:-2, 2:-2]

    return look


@pytest.fixture(scope="session")
def colour_of() -> Callable[[np.ndarray], str]:
    """The name of the colour that most of a picture has: the colour of its ground."""

    def name(picture: np.ndarray) -> str:
        ground = seen(np.median(picture.reshape(-1, 3), axis=0))
        return min(COLOURS, key=lambda it: float(np.linalg.norm(ground - seen(COLOURS[it]))))

    return name


def seen(rgb: Any) -> np.ndarray:
    """sRGB of 255 as OKLab, where distance is what the eye sees; lightness counts for less."""
    share = np.asarray(rgb) / 255
    linear = np.where(share > 0.04045, ((share + 0.055) / 1.055) ** 2.4, share / 12.92)
    return np.cbrt(linear @ TO_LMS) @ TO_LAB * (0.7, 1, 1)


@pytest.fixture
def eventually(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Waits until something holds; fails with what was there instead."""
    desks = [name for name in ("desk", "own_desk") if name in request.fixturenames]
    rest = request.getfixturevalue(desks[0]).rest if desks else lambda: time.sleep(0.05)

    def wait(what: Callable[[], object], wanted: object = True, limit_s: float = 30.0) -> None:
        deadline = time.monotonic() + limit_s
        while (found := what()) != wanted:
            assert time.monotonic() < deadline, f"{found!r} after {limit_s} s, not {wanted!r}"
            rest()

    return wait
