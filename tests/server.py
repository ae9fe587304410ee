"""The real program in its own process, as a user starts it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
FAILED = r"\[gen\] The model could not be (loaded|closed) \("


def once_below(limit: float, attempt: Callable[[], float], attempts: int = 3) -> None:
    """Fails unless one of `attempts` calls of `attempt()` returns less than `limit`.

    Other work can delay the machine for a second, so one slow attempt says nothing about the
    program; a fault of the program makes all of them slow.
    """
    found: list[float] = []
    while not found or found[-1] >= limit:
        assert len(found) < attempts, f"{found}, never less than {limit}"
        found.append(attempt())


def lines_of_failure(log: str) -> list[str]:
    """The lines of a log about a state `failed`; each kind of error is logged once."""
    return [line for line in log.splitlines() if re.match(FAILED, line)]


class Server:
    """`python realtime_stream.py` on a free port; its log is read as it comes.

    Left by `with`, it fails the test where its state was `failed` on the way, even if a later
    attempt worked; `may_fail` for tests that want it to fail.
    """

    may_fail = False

    def __init__(
        self,
        *options: str,
        port: int | None = None,
        may_fail: bool = False,
        program: Sequence[str] = ("realtime_stream.py",),
        **environ: str,
    ) -> None:
        self.may_fail = may_fail
        self.port = port or free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.lines: list[tuple[float, str]] = []  # (seconds since the start, line)
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, *program, "--server-port", str(self.port), *options],
            cwd=ROOT,
            env={**os.environ, "MODEL_ID": "demo", **environ},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, name="server log")
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append((time.monotonic() - self.started, line.rstrip("\n")))

    @property
    def log(self) -> str:
        return "\n".join(line for _, line in list(self.lines))

    def request(
        self, path: str, body: object = None, method: str | None = None, timeout_s: float = 30.0
    ) -> tuple[int, bytes]:
        """(status, body) of one request; a body is sent as JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, method=method)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.request("/status")[1])
        return found

    def wait_until_healthy(self, timeout_s: float = 90.0) -> Server:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                if self.request("/healthz")[0] == 200:
                    return self
            except OSError:
                pass
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.1)

    def wait_for_log(self, text: str, timeout_s: float = 90.0) -> None:
        deadline = time.monotonic() + timeout_s
        while text not in self.log:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    def ending_s(self, number: int = signal.SIGTERM) -> float:
        """Seconds from the signal to its end, which has status 0."""
        started = time.monotonic()
        self.signal(number)
        assert self.wait() == 0
        return time.monotonic() - started

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self, timeout_s: float = 30.0) -> int:
        """Its exit status; the log is complete afterwards."""
        status = self.process.wait(timeout_s)
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        if kind is None and not self.may_fail:
            assert not lines_of_failure(self.log), self.log
