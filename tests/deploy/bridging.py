"""deploy/osc_bridge.py as a process, and servers that it connects to."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from websockets.sync.server import ServerConnection, serve

from tests.deploy.host import ROOT, wait_for
from tests.ports import free_port

READY = "reach the stream"


class Bridge:
    """The bridge from `udp_port` to the server at `port`, as a child of this process."""

    def __init__(self, folder: Path, port: int, udp_port: int = 0) -> None:
        self.udp_port = udp_port or free_port()
        self._file = folder / f"bridge-{self.udp_port}"
        with self._file.open("wb") as said:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "deploy/osc_bridge.py"), str(os.getpid()),
                 str(self.udp_port), str(port)],
                stdin=subprocess.DEVNULL, stderr=said,
            )  # fmt: skip

    @property
    def said(self) -> str:
        return self._file.read_text()

    def wait_said(self, text: str, times: int = 1) -> None:
        wait_for(lambda: self.said.count(text) >= times, 30, f"{text!r}; said: {self.said}")

    def __enter__(self) -> Bridge:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()


class Control:
    """A control socket that keeps the binary frames that it gets. answer: what it sends back."""

    def __init__(self, answer: Callable[[bytes], str | None]) -> None:
        self.frames: list[bytes] = []
        self.paths: list[str] = []
        self.connections: list[ServerConnection] = []
        self.may_read = threading.Event()
        self.may_read.set()
        self._answer = answer

    def handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.paths.append(connection.request.path)
        self.connections.append(connection)
        connection.send('{"scene": {"prompt": "an \\"error\\" is no error"}}')
        for frame in connection:
            assert isinstance(frame, bytes)
            self.frames.append(frame)
            if answer := self._answer(frame):
                connection.send(answer)
            self.may_read.wait()

    def wait_for(self, *frames: bytes) -> None:
        wait_for(lambda: self.frames[-len(frames) :] == list(frames), 30, f"not {self.frames}")


@contextmanager
def controlled(
    port: int, answer: Callable[[bytes], str | None] = lambda frame: None
) -> Iterator[Control]:
    control = Control(answer)
    with serve(control.handle, "127.0.0.1", port, ping_interval=0.2) as server:
        thread = threading.Thread(target=server.serve_forever, name="control")
        thread.start()
        try:
            yield control
        finally:
            control.may_read.set()
            server.shutdown()
            for connection in control.connections:
                connection.close()
            thread.join(30)
