"""For every test: none may leave a thread, a socket or a temporary file behind."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PATIENCE_S = 60.0  # a closing socket or an ending thread may take a moment


@pytest.fixture(scope="session", autouse=True)
def temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of this run's own for temporary files, also for the processes that tests start."""
    folder = tmp_path_factory.mktemp("tmp")
    patch = pytest.MonkeyPatch()
    patch.setenv("TMPDIR", str(folder))
    patch.setenv("STATE_DIR", str(tmp_path_factory.mktemp("state")))  # not the user's own tokens
    # importing torch makes this folder, in whichever test comes first
    patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("inductor")))
    patch.setattr(tempfile, "tempdir", str(folder))
    for name in ("NO_PROXY", "no_proxy"):  # every server of the tests is on this machine
        patch.setenv(name, ",".join(filter(None, (os.environ.get(name), "127.0.0.1,localhost"))))
    yield folder
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """A run in the background or under nohup ignores signals, and every program that a test starts
    would inherit that; a handler that does nothing is not inherited."""
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def _threads() -> set[str]:
    return {f"thread {thread.name} ({thread.ident})" for thread in threading.enumerate()}


def _sockets() -> set[str]:
    found = set()
    for entry in Path("/proc/self/fd").glob("*"):
        try:
            target = os.readlink(entry)
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


@pytest.fixture(autouse=True)
def nothing_is_left_behind(temporary_folder: Path) -> Iterator[None]:
    """Fail the test that leaves a thread, a socket or a temporary file."""

    def things() -> set[str]:
        # Chromium's audio library makes a folder when a page first plays a sound. It stays until
        # the browser ends, which serves the tests of the whole run.
        ours = [path for path in temporary_folder.iterdir() if not path.name.startswith("pulse-")]
        files = {f"file {path}" for path in ours}
        return _threads() | _sockets() | files

    before = things()
    yield
    deadline = time.monotonic() + PATIENCE_S
    while (left := things() - before) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left, f"left behind: {sorted(left)}"
