"""Runs one long command: its output goes to a log, and a line on stderr shows how far it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from messages import say

EVERY_S = 1.0  # on a terminal, where the line is overwritten
EVERY_ELSEWHERE_S = 20.0
TAIL_LINES = 15  # of the log, shown when the command fails
TAIL_BYTES = 65536  # of the log, read for the progress
ERASE = "\r\033[K"


def summary(log: str) -> str:
    """What pip is doing, from the end of its log (--progress-bar raw)."""
    name, have, total = "", 0, 0
    for line in log.splitlines():
        if line.startswith("Installing collected packages"):
            return "unpacking"
        if found := re.match(r" *Downloading (\S+)", line):
            name = re.sub(r"-py.*|-cp.*", "", found[1].rpartition("/")[2])
        elif found := re.match(r"Progress (\d+) of (\d+)", line):
            have, total = int(found[1]), int(found[2])
    if name and total > 20_000_000:
        return f"{name}: {have // 1_000_000} of {total // 1_000_000} MB"
    return name or "working"


class Runner:
    """Runs commands; `started` is called with the process number of each."""

    def __init__(self, folder: Path, is_verbose: bool, started: Callable[[int], None]) -> None:
        self._folder, self.is_verbose, self._started = folder, is_verbose, started
        self._log = folder / "log"

    def run(self, *command: str) -> bool:
        """True if it succeeded; otherwise the end of its output has been shown."""
        temporary = self._folder / "tmp"  # on the disk that was measured, and removed with the lock
        temporary.mkdir(exist_ok=True)
        environment = {**os.environ, "TMPDIR": str(temporary)}
        if self.is_verbose:
            return self._wait(subprocess.Popen(command, env=environment, stdout=sys.stderr)) == 0
        with self._log.open("wb") as log:
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        ended = threading.Event()
        showing = threading.Thread(target=self._show, args=[ended], name="progress", daemon=True)
        showing.start()
        try:
            status = self._wait(process)
        finally:
            ended.set()
            showing.join()
        if status:
            lines = self._read().splitlines()
            kept = [line for line in lines if not line.startswith("Progress ")][-TAIL_LINES:]
            print("\n".join(kept), file=sys.stderr, flush=True)
        return status == 0

    def log_has(self, beginning: str) -> bool:
        """A line of the last command's output begins so."""
        try:
            lines = self._log.read_text("utf-8", "replace").splitlines()
        except OSError:
            return False
        return any(line.startswith(beginning) for line in lines)

    def _wait(self, process: subprocess.Popen[bytes]) -> int:
        try:
            self._started(process.pid)
            return process.wait()
        except BaseException:  # a signal ends the setup, and with it what it runs
            process.terminate()
            process.wait()
            raise

    def _show(self, ended: threading.Event) -> None:
        begun, is_terminal = time.monotonic(), sys.stderr.isatty()
        while not ended.wait(EVERY_S if is_terminal else EVERY_ELSEWHERE_S):
            text = f"  {time.monotonic() - begun:.0f} s, {summary(self._read())}"
            if is_terminal:
                print(f"{ERASE}[setup] {text}", end="", file=sys.stderr, flush=True)
            else:
                say(text)
        if is_terminal:
            print(ERASE, end="", file=sys.stderr, flush=True)

    def _read(self) -> str:
        """The end of the log."""
        with self._log.open("rb") as log:
            log.seek(max(0, self._log.stat().st_size - TAIL_BYTES))
            return log.read().decode("utf-8", "replace")
