"""The browser windows of one test, and what the browser says on their consoles."""

from __future__ import annotations

import re
import time
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page

from tests.page.live_server import LiveServer
from tests.page.messages import Messages

DESKTOP = {"viewport": {"width": 1280, "height": 800}}
FIRST_PICTURE = '#picture[data-frame]:not([data-frame="0"])'
FAILED_REQUEST = "Failed to load resource"
FAILED_SOCKET = "WebSocket connection to"
# A page that is left while its socket connects; a busy machine decides when.
LEFT_PAGE = r"WebSocket is closed before the connection is established"
# Requests and sockets that fail while the server is away or starts, and acknowledgements that its
# successor cannot match.
LOST_SERVER = (r"net::ERR_", r"status of 404 .*/stream/[^/]+/shown$", r"/control' failed: ")


class Desk:
    """One test's browser windows on the server, and their console messages.

    The browser itself reports failed requests there, at a time of its own.
    """

    def __init__(self, browser: Browser, server: LiveServer) -> None:
        self.server = server
        self.console: list[str] = []
        self._tolerated = [LEFT_PAGE]
        self._browser = browser
        self._contexts: list[Any] = []
        self._messages: dict[Page, Messages] = {}

    def window(self, **options: Any) -> Page:
        """An empty window; the options are a Playwright context's."""
        context = self._browser.new_context(**(DESKTOP | options))
        context.set_default_timeout(90_000)
        self._contexts.append(context)
        return self.beside(context)

    def alone(self, **options: Any) -> Page:
        """A window of a browser without shared workers; a test can intercept its stream."""
        page = self.window(**options)
        page.add_init_script("delete window.SharedWorker")
        return page

    def without_socket(self) -> Page:
        """A window of a browser without WebSocket: its changes are requests, which a test can
        intercept."""
        page = self.window()
        page.add_init_script("delete window.WebSocket")
        del self._messages[page]
        return page

    def beside(self, context: Any) -> Page:
        """Another empty window of the same browser profile."""
        page = context.new_page()
        self._messages[page] = Messages(page)
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.console.append(f"error: {error}"))
        return page

    def messages(self, page: Page) -> Messages:
        return self._messages[page]

    def open(self, path: str = "/", **options: Any) -> Page:
        """A window on the page, once the first picture is on it."""
        page = self.window(**options)
        self.show(page, path)
        return page

    def show(self, page: Page, path: str = "/") -> None:
        """Opens the page in a window; returns once it has a picture and its control socket."""
        page.goto(self.server.url + path)
        page.wait_for_selector(FIRST_PICTURE)
        deadline = time.monotonic() + 90
        while page in self._messages and not self._messages[page].pushed:
            assert time.monotonic() < deadline, "the control socket does not open"
            self.rest()

    def rest(self, seconds: float = 0.05) -> None:
        """Waits, and lets the windows handle their events and routes meanwhile."""
        if pages := [page for context in self._contexts for page in context.pages]:
            pages[-1].wait_for_timeout(seconds * 1000)
        else:
            time.sleep(seconds)

    def expect_network_report(self, status: int) -> None:
        """Waits for the browser's report of an answer with this status and permits such reports."""
        kind = f"status of {status} "
        deadline = time.monotonic() + 60
        while not any(self._is_report(said, kind) for said in self.console):
            assert time.monotonic() < deadline, f"no report of a {status} in {self.console}"
            self.rest()
        self._tolerated.append(kind)

    def tolerate_report(self, kind: str) -> None:
        """Permits reports of failed requests that match, whether any come or not."""
        self._tolerated.append(kind)

    def tolerate_lost_server(self) -> None:
        """Permits reports of requests to a server that ends or has been restarted."""
        self._tolerated.extend(LOST_SERVER)

    def complaints(self) -> list[str]:
        """The console messages that the test does not permit."""
        return [
            said
            for said in self.console
            if not any(self._is_report(said, kind) for kind in self._tolerated)
        ]

    def _note(self, message: ConsoleMessage) -> None:
        said = f"{message.type}: {message.text}"
        self.console.append(f"{said} {message.location['url']}" if FAILED_REQUEST in said else said)

    @staticmethod
    def _is_report(said: str, kind: str) -> bool:
        failed = FAILED_REQUEST in said or FAILED_SOCKET in said
        return failed and re.search(kind, said) is not None

    def close(self) -> None:
        for context in self._contexts:
            context.close()
