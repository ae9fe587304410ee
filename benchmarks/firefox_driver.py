"""A real Firefox, driven over WebDriver BiDi: https://w3c.github.io/webdriver-bidi/

Playwright only drives its own build of Firefox, and Debian has no geckodriver. Firefox itself
supports BiDi, which is JSON over a WebSocket; this implements the commands that are needed here.
"""

from __future__ import annotations

import base64
import copy
import itertools
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

BINARY = "firefox-esr"  # Debian's; Ubuntu's snap cannot access the profile and the port
START_S = 60
ANSWER_S = 20
LISTENING = re.compile(r"WebDriver BiDi listening on (ws://\S+)")


class Firefox:
    """One window. `run` evaluates JavaScript in the page; `console` collects its messages."""

    def __init__(self, socket: ClientConnection) -> None:
        self.console: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self.ask("session.new", capabilities={})
        self.ask("session.subscribe", events=["log.entryAdded"])
        self._window = self.ask("browsingContext.getTree")["contexts"][0]["context"]

    def ask(self, method: str, **params: object) -> Any:
        """The result of one BiDi command; log events received before it are collected."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self._socket.recv(ANSWER_S))
            if answer.get("method") == "log.entryAdded":
                entry = answer["params"]
                self.console.append(f"{entry['level']}: {entry['text']}")
            elif answer.get("id") == number:
                if answer["type"] == "error":
                    raise RuntimeError(f"{method}: {answer['message']}")
                return answer["result"]

    def another(self) -> Firefox:
        """Another window of the same profile, in front of this one; `close` closes it."""
        other = copy.copy(self)
        created = self.ask("browsingContext.create", type="window")
        other._window = created["context"]
        return other

    def close(self) -> None:
        """Close this window."""
        self.ask("browsingContext.close", context=self._window)

    def open(self, url: str, wait: str = "none") -> None:
        self.ask("browsingContext.navigate", context=self._window, url=url, wait=wait)

    def resize(self, width: int, height: int) -> None:
        viewport = {"width": width, "height": height}
        self.ask("browsingContext.setViewport", context=self._window, viewport=viewport)

    def run(self, code: str) -> Any:
        """The value of an expression, transferred as JSON."""
        found = self.ask(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({code})))()",
            target={"context": self._window},
            awaitPromise=True,
        )
        if found["type"] == "exception":
            raise RuntimeError(found["exceptionDetails"]["text"])
        return json.loads(found["result"].get("value", "null"))

    def press(self, keys: str) -> None:
        """Type keys through the browser's input handling."""
        strokes = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        keyboard = [{"type": "key", "id": "keyboard", "actions": strokes}]
        self.ask("input.performActions", context=self._window, actions=keyboard)

    def screenshot(self, selector: str) -> bytes:
        """A PNG of an element as it is displayed."""
        box = self.run(f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()")
        clip = {"type": "box", **{name: box[name] for name in ("x", "y", "width", "height")}}
        return base64.b64decode(
            self.ask("browsingContext.captureScreenshot", context=self._window, clip=clip)["data"]
        )


def available() -> bool:
    return shutil.which(BINARY) is not None


@contextmanager
def firefox(profile: Path) -> Iterator[Firefox]:
    """A Firefox with an empty profile in the empty folder `profile`."""
    command = [BINARY, "--headless", "--no-remote", "--profile", str(profile)]
    output = profile / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--remote-debugging-port", "0", "about:blank"], stdout=file, stderr=file
        )
    try:
        with connect(f"{_address(output, process)}/session", max_size=None) as socket:
            browser = Firefox(socket)
            yield browser
            browser.ask("browser.close")
        process.wait(20)
    finally:
        process.kill()
        process.wait()


def _address(output: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + START_S
    while not (found := LISTENING.search(output.read_text(errors="replace"))):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"Firefox did not start:\n{output.read_text(errors='replace')}")
        time.sleep(0.05)
    return found[1]
