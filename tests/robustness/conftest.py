"""The real server with a fake engine, as a process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.server import ROOT, Server

Start = Callable[..., "Program"]


class Program(Server):
    """`python -m tests.robustness.program MODE`: only the engine is a fake."""

    def __init__(
        self,
        mode: str,
        state: Path | None,
        *options: str,
        stderr: object = subprocess.PIPE,
        before: Callable[[], object] | None = None,
        port: int | None = None,
        environ: dict[str, str | None] | None = None,
    ) -> None:
        self.port = port or free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.lines: list[tuple[float, str]] = []
        self.started = time.monotonic()
        self.state = state
        self.may_fail = mode == "loads-badly"
        given: dict[str, str | None] = {**os.environ, "STATE_DIR": str(state), **(environ or {})}
        if state is None:
            del given["STATE_DIR"]
        command = [sys.executable, "-m", "tests.robustness.program", mode]
        self.process = subprocess.Popen(
            [*command, "--server-port", str(self.port), *options],
            cwd=ROOT,
            env={name: value for name, value in given.items() if value is not None},
            stdin=subprocess.DEVNULL,
            stderr=stderr,  # type: ignore[call-overload]
            text=True,
            preexec_fn=before,  # noqa: PLW1509
        )
        self._reader = threading.Thread(target=self._read, name="server log")
        self._reader.start()

    def _read(self) -> None:
        if self.process.stderr is not None:
            super()._read()

    def wait(self, timeout_s: float = 30.0) -> int:
        status = self.process.wait(timeout_s)
        self._reader.join()
        if self.process.stderr is not None:
            self.process.stderr.close()
        return status

    def is_healthy(self) -> bool:
        """Whether /healthz answers with 200."""
        try:
            return self.request("/healthz")[0] == 200
        except OSError:
            return False

    def wait_until_listening(self, timeout_s: float = 60.0) -> Program:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self.request("/status")
                return self
            except OSError:
                assert self.process.poll() is None, self.log
                assert time.monotonic() < deadline, self.log
                time.sleep(0.05)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """start(mode, *options, ...) -> a Program that is ended with the test."""
    with ExitStack() as stack:

        def begin(mode: str = "sound", *options: str, **more: object) -> Program:
            state = more.pop("state", tmp_path / "state")
            return stack.enter_context(Program(mode, state, *options, **more))  # type: ignore[arg-type]

        yield begin
