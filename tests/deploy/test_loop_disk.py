"""The loop and its server on a full disk."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

from tests.deploy.host import PATH, PATIENCE_S, ROOT, healthy, wait_for
from tests.disks import Disk, mounted, needs_mounts
from tests.ports import free_port

pytestmark = needs_mounts

# In place of Python: counts its runs on another disk, writes that it serves over the existing file,
# and ends when it is told to.
SERVER = """#!/bin/bash
echo "a run" >>"$ELSEWHERE/runs"
printf '%-100s\\n' "$$ 8000 $PWD" 2>/dev/null 1<>"$STATE_DIR/serving"
while [[ ! -e $ELSEWHERE/crash ]]; do sleep 0.05; done
rm "$ELSEWHERE/crash"
kill -KILL $$
"""


class Loop:
    """A release below `base`, and its loop."""

    def __init__(self, base: Path, elsewhere: Path) -> None:
        self.base, self.elsewhere = base, elsewhere
        self.folder = base / "releases/r1"
        for made in (self.folder / ".deploy", base / "state", base / "run"):
            made.mkdir(parents=True)
        (elsewhere / "bin").mkdir(parents=True)
        self.python = elsewhere / "bin/python3"
        self.python.write_text(SERVER)
        self.python.chmod(0o755)
        (self.folder / ".deploy/python").write_text(f"{self.python}\n")
        self.settings = self.folder / ".deploy/settings"
        self.settings.write_text(f"export STATE_DIR={base}/state HANDOVER=take\n")
        (base / "state/serving").write_text(" " * 200)
        self.log = self.folder / "server.log"
        self.log.touch()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> None:
        common = {"PATH": PATH, "LOOP_PAUSE_S": "0", "ELSEWHERE": str(self.elsewhere)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ["bash", str(ROOT / "deploy/loop.sh"), str(self.base), "r1", "1"],
                env=common | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def runs(self) -> int:
        file = self.elsewhere / "runs"
        return file.read_text().count("a run") if file.exists() else 0

    def wait_for_runs(self, number: int) -> None:
        def lived() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, "the loop has ended"
            return self.runs >= number

        wait_for(lived, PATIENCE_S, f"life {number}")

    def crash(self) -> None:
        number = self.runs
        (self.elsewhere / "crash").touch()
        self.wait_for_runs(number + 1)

    def serve(self, **environment: str) -> None:
        self.start(**environment)
        wait_for(lambda: (self.base / "current").is_symlink(), PATIENCE_S, "the links")

    def end(self) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # it may end by itself at this moment
                child.kill()
        self.process.kill()
        self.process.wait(PATIENCE_S)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with mounted(tmp_path / "base", "size=512k,nr_inodes=100") as disk:
        yield disk


@pytest.fixture
def loop(disk: Disk, tmp_path: Path) -> Iterator[Loop]:
    loop = Loop(disk.folder, tmp_path / "elsewhere")
    yield loop
    loop.end()


@pytest.mark.parametrize("trouble", ["full", "no inodes", "run removed"])
def test_a_server_that_crashes_is_restarted_in_any_state_of_the_disk(
    loop: Loop, disk: Disk, trouble: str
) -> None:
    loop.serve()
    if trouble == "full":
        disk.fill()
    elif trouble == "no inodes":
        disk.use_up_inodes()
    else:
        shutil.rmtree(loop.base / "run")
    loop.crash()


def test_it_does_not_give_up_while_the_disk_is_full_and_reports_it_afterwards(
    loop: Loop, disk: Disk
) -> None:
    loop.serve()
    disk.fill()
    for _ in range(8):
        loop.crash()
    disk.make_room()
    wait_for(lambda: "the disk has space again" in loop.log.read_text(), PATIENCE_S, "its line")
    said = loop.log.read_text()
    assert "WARNING: the disk is full: make room on it." in said
    assert said.count("the server ended with status 137: starting it again") == 8
    assert all(line.startswith("[loop] ") for line in said.splitlines())


def test_on_a_nearly_full_disk_it_starts_the_server(tmp_path: Path) -> None:
    with ExitStack() as disks:
        for pages in range(6):
            folder = tmp_path / str(pages)
            disk = disks.enter_context(mounted(folder / "base"))
            loop = Loop(disk.folder, folder / "elsewhere")
            disks.callback(loop.end)
            disk.fill(pages)
            loop.serve()
            disk.make_room()
            assert loop.process is not None
            told = loop.base / "run/r1.loop"
            wait_for(lambda told=told: told.read_text(), PATIENCE_S, "its process number")
            assert told.read_text() == f"{loop.process.pid}\n"


def test_the_end_of_its_server_is_reported_on_a_full_disk(loop: Loop, disk: Disk) -> None:
    loop.python.write_text("#!/bin/sh\nexit 2\n")
    disk.fill()
    loop.start()
    assert loop.process is not None
    assert loop.process.wait(PATIENCE_S) == 0
    assert (loop.base / "run/r1.ended").exists()
    assert [file.name for file in (loop.base / "run").iterdir()] == ["r1.ended"]


def test_a_log_that_cannot_be_rotated_is_truncated(loop: Loop, disk: Disk) -> None:
    loop.serve(LOG_MOST_KB="1")
    loop.log.write_bytes(b"x" * 4000)
    disk.fill()
    wait_for(lambda: loop.log.stat().st_size < 2000, PATIENCE_S, "the cut")
    assert not loop.log.with_name("server.log.1").exists()


@pytest.mark.parametrize("trouble", ["full", "no inodes"])
def test_the_real_server_is_restarted_after_a_crash_on_a_full_disk(
    tmp_path: Path, trouble: str
) -> None:
    port = free_port()
    with mounted(tmp_path / "base", "size=512k,nr_inodes=100") as disk:
        loop = Loop(disk.folder, tmp_path / "elsewhere")
        shutil.copy(ROOT / "realtime_stream.py", loop.folder)
        (loop.folder / "turbostream").symlink_to(ROOT / "turbostream")
        loop.python.unlink()
        loop.python.write_text(f'#!/bin/sh\nexec {sys.executable} -B "$@"\n')
        loop.python.chmod(0o755)
        loop.settings.write_text(
            f"export STATE_DIR={loop.base}/state HANDOVER=take MODEL_ID=demo TARGET_FPS=2 "
            f"PYTHONUNBUFFERED=1 SERVER_PORT={port}\n"
        )
        loop.serve()
        try:
            wait_for(lambda: healthy(port), 90, "health")
            first = int((loop.base / "state/serving").read_text().split()[0])
            disk.fill() if trouble == "full" else disk.use_up_inodes()
            os.kill(first, signal.SIGKILL)
            wait_for(lambda: not psutil.pid_exists(first), PATIENCE_S, "its end")
            wait_for(lambda: healthy(port), 90, "health again")

            def told() -> int:
                return int((loop.base / "state/serving").read_text().split()[0])

            wait_for(lambda: told() != first, PATIENCE_S, "the new process number")
            assert psutil.pid_exists(told())
            left = [file.name for file in (loop.base / "state").iterdir()]
            assert not [name for name in left if name.startswith(".")]
            assert loop.process is not None
            os.kill(told(), signal.SIGTERM)
            assert loop.process.wait(PATIENCE_S) == 0
        finally:
            loop.end()
