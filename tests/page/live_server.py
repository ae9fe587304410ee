"""`realtime_stream.py` as a process of its own, for the tests in a browser."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port
from tests.server import lines_of_failure

ROOT = Path(__file__).resolve().parents[2]
START_S = 90
FIRST_PROMPT = "three yellow stars on a night sky"


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
        """The JSON answer to a request of the test's own."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer) if answer.status != 204 else None

    def as_new(self) -> None:
        """Restores the first prompt, motion and tempo once the windows of earlier tests are gone.

        Their last requests were answered before the /status that no longer counts them.
        """
        deadline = time.monotonic() + START_S
        while self.ask("GET", "/status")["viewers"]:
            assert time.monotonic() < deadline, "a window of an earlier test still watches"
            time.sleep(0.05)
        self.ask("POST", "/prompt", {"prompt": FIRST_PROMPT})
        scene = {"motion": "walk", "speed": 0.15, "brightness": 1, "fade_s": 0}
        rhythm = {"bpm": 120, "beats_per_bar": 4, "quantise": "off", "modulators": []}
        self.ask("PATCH", "/scene", scene | rhythm)


@contextmanager
def serving(state: Path, kind: type[LiveServer] = LiveServer) -> Iterator[LiveServer]:
    server = kind(state)
    try:
        server.start()
        yield server
    finally:
        server.end()


def shared(kind: type[LiveServer]) -> Any:
    """The fixture `shared_server` of a module whose tests share a server of this kind."""

    @pytest.fixture(scope="module", name="shared_server")
    def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
        with serving(tmp_path_factory.mktemp("state"), kind) as server:
            yield server

    return shared_server
