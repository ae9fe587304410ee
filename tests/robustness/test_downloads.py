"""Downloads of recordings, fast and slow ones, leave the viewers their frames."""

from __future__ import annotations

import hashlib
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from tests.robustness.conftest import Program, Start
from tests.robustness.raw import HOST
from tests.robustness.test_floods import ATTEMPTS, FPS, MEASURED_S, Watcher, measured

NAME = "2026-01-01-000000.mp4"
SIZE = 200_000_000
SLOW = 8  # clients that ask for the file and read nothing


@pytest.fixture
def program(start: Start, tmp_path: Path) -> Program:
    folder = tmp_path / "recordings"
    folder.mkdir()
    with (folder / NAME).open("wb") as file:
        file.truncate(SIZE)
    options = "--target-fps", str(FPS), "--recordings-dir", str(folder)
    return start("sound", *options).wait_until_healthy()


@contextmanager
def slow_clients(port: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as connections:
        found = []
        for _ in range(SLOW):
            connection = socket.create_connection(("127.0.0.1", port), timeout=30)
            found.append(connections.enter_context(closing(connection)))
            connection.sendall(f"GET /recordings/{NAME} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
            assert connection.recv(12) == b"HTTP/1.1 200"
        yield found


@contextmanager
def downloading(port: int) -> Iterator[list[str]]:
    """Another client fetches the whole file; the list holds its SHA-256 afterwards."""
    found: list[str] = []

    def fetch() -> None:
        digest = hashlib.sha256()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/recordings/{NAME}") as answer:
            while piece := answer.read(1 << 20):
                digest.update(piece)
        found.append(digest.hexdigest())

    thread = threading.Thread(target=fetch)
    thread.start()
    yield found
    thread.join()


def test_viewers_keep_their_frames_beside_downloads(program: Program) -> None:
    found = []
    for _ in range(ATTEMPTS):
        slowest_s, share = beside_downloads(program)
        found.append((slowest_s, share))
        if slowest_s < 1.0 and share > 0.8:
            return
    pytest.fail(f"(slowest /healthz, share of frames): {found}")


def beside_downloads(program: Program) -> tuple[float, float]:
    """(slowest /healthz in s, share of the frames without downloads)."""
    watcher = Watcher(program.port)
    try:
        _, alone_fps = measured(program, watcher, MEASURED_S / 2)
        with slow_clients(program.port), downloading(program.port) as fetched:
            slowest_s, fps = measured(program, watcher, MEASURED_S)
        assert fetched == [hashlib.sha256(bytes(SIZE)).hexdigest()]
        return slowest_s, fps / alone_fps
    finally:
        watcher.close()
