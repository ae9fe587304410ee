"""A real Firefox, driven over WebDriver BiDi: https://w3c.github.io/webdriver-bidi/

Playwright drives only a Firefox of its own build, and Debian has no geckodriver; the browser itself
speaks BiDi, which is JSON over a WebSocket. Only what is needed here.
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

BINARY = "firefox-esr"  # Debian's; Ubuntu's is a snap, which sees neither profile nor port
START_S = 60
ANSWER_S = 20
LISTENING = re.compile(r"WebDriver BiDi listening on (ws://\S+)")


class Firefox:
    """One window. Code is JavaScript in the page; `console` is what the page said there."""

    def __init__(self, socket: ClientConnection) -> None:
        self.console: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self.ask("session.new", capabilities={})
        self.ask("session.subscribe", events=["log.entryAdded"])
        self._window = self.ask("browsingContext.getTree")["contexts"][0]["context"]

    def ask(self, method: str, **params: object) -> Any:
        """The result of one BiDi command; events that come before it are noted."""
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
        """One more window of the same profile, in front of this one; `close` ends it."""
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
        """The value of an expression; whatever JSON can hold comes back."""
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
        """Types, as a hand on the keyboard would."""
        strokes = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        hands = [{"type": "key", "id": "hands", "actions": strokes}]
        self.ask("input.performActions", context=self._window, actions=hands)

    def screenshot(self, selector: str) -> bytes:
        """What the eye sees of an element: a PNG."""
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
    said = profile / "said"
    with said.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--remote-debugging-port", "0", "about:blank"], stdout=file, stderr=file
        )
    try:
        with connect(f"{_address(said, process)}/session", max_size=None) as socket:
            browser = Firefox(socket)
            yield browser
            browser.ask("browser.close")
        process.wait(20)
    finally:
        process.kill()
        process.wait()


def _address(said: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + START_S
    while not (found := LISTENING.search(said.read_text(errors="replace"))):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"Firefox did not start:\n{said.read_text(errors='replace')}")
        time.sleep(0.05)
    return found[1]
