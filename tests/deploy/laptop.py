"""The user's computer: a home, a copy of the scripts, and the scripts that run there."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.deploy.host import PATH, PATIENCE_S, ROOT, USER, Host, keygen, wait_for


class Laptop:
    """A separate home and a copy of the scripts; the environment contains the address."""

    def __init__(self, folder: Path, host: Host) -> None:
        self.home = folder / "laptop"
        (self.home / ".ssh").mkdir(parents=True, mode=0o700)
        self.scripts = folder / "program"
        self.host = host
        copy_program(self.scripts)
        self.key = keygen(self.home / ".ssh/id_ed25519")
        host.allow(self.key)
        self.environment = {
            "HOME": str(self.home),
            "PATH": PATH,
            "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
            "LANG": "C.UTF-8",
            "SSH_HOST": "127.0.0.1",
            "SSH_PORT": str(host.port),
            "SSH_USER": USER,
            "REMOTE_DIR": str(host.base),
            "SERVER_PORT": str(host.server_port),
            "MODEL_ID": "demo",
            "TARGET_FPS": "5",
            "INSTANCE_PYTHON": str(quick_python(folder / "python")),
        }

    def command(self, script: str, *arguments: str) -> list[str]:
        return ["bash", str(self.scripts / script), *arguments]

    def run(
        self, script: str, *arguments: str, timeout_s: float = 100, **environment: str | None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(script, *arguments),
            env=self.with_(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def with_(self, changes: dict[str, str | None]) -> dict[str, str]:
        merged = self.environment | changes
        return {name: value for name, value in merged.items() if value is not None}

    @contextmanager
    def running(self, script: str, *arguments: str, **environment: str | None) -> Iterator[Running]:
        running = Running(self.command(script, *arguments), self.with_(environment), self.home)
        try:
            yield running
        finally:
            running.end()


class Running:
    """A script that is running: its output, and signals to it."""

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path) -> None:
        self._file = folder / f"said-{time.monotonic_ns()}"
        with self._file.open("wb") as said:
            self.process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self._file.read_text(errors="replace")

    @property
    def ended(self) -> bool:
        """There will be no more output."""
        return self.process.poll() is not None

    def wait_said(self, pattern: str, timeout_s: float = 60) -> str:
        def found():
            ended = self.ended  # before the output is read, which may grow until then
            match = re.search(pattern, self.said)
            assert match or not ended, f"it ended: {self.said}"
            return match

        try:
            return wait_for(found, timeout_s, pattern)[0]
        except AssertionError:
            raise AssertionError(f"{pattern!r} was not said: {self.said}") from None

    def end(self, number: int = signal.SIGINT, timeout_s: float = PATIENCE_S) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout_s)


def quick_python(folder: Path) -> Path:
    """The tests' interpreter as INSTANCE_PYTHON, which skips the check of its packages to save
    seconds before each start; the first start of test_show.py uses the real one."""
    binary = folder / "bin"
    binary.mkdir(parents=True)
    (binary / "python3").symlink_to(sys.executable)
    for name in ("pyvenv.cfg", "lib", "lib64"):
        if (Path(sys.prefix) / name).exists() and sys.prefix != sys.base_prefix:
            (folder / name).symlink_to(Path(sys.prefix) / name)
    quick = binary / "quick-python"
    quick.write_text(f'#!/bin/sh\n[ "$1" = -c ] || exec {binary}/python3 "$@"\n')
    quick.chmod(0o755)
    return quick


def copy_program(target: Path) -> None:
    """Copy what the scripts need of the repository."""
    target.mkdir()
    names = ("realtime_stream.py", "process_batch.py", "requirements.txt", "setup.sh")
    scripts = ("start_stream_server.sh", "tunnel_to_stream.sh")
    for name in (*names, *scripts):
        if (ROOT / name).exists():
            shutil.copy2(ROOT / name, target / name)
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc", ".venv")
    for folder in ("turbostream", "deploy"):
        shutil.copytree(ROOT / folder, target / folder, ignore=ignore)
