"""One connection of a broadcast, as the program sees it: a process that encodes and sends.

Frames are offered on the generation thread, which only appends to a queue. The thread that calls
`run` passes them on; a second one reads what the process reports.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path

import turbostream
from turbostream.sinks.push_process import FINISH_S, HEAD, MOST_WAITING, Order, Report
from turbostream.stream.frame import Frame

ROOT = Path(turbostream.__file__).resolve().parent.parent


class PushLink:
    """frames, dropped: so far. bit_rate: bit/s in the last second. connected_at: on the monotonic
    clock, None before that. failed, detail: see `Report`; failed is `timeout` for a server that
    does not answer."""

    def __init__(self, order: Order) -> None:
        """Raises OSError if the process cannot be started."""
        self._order = order
        self._changed = threading.Condition()
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._over = False  # the process has ended, or is to end
        self._lost = 0
        self._last: Report = {}
        self._at = 0.0  # when the last figures came
        self.bit_rate = 0
        self.connected_at: float | None = None
        self.failed = self.detail = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "turbostream.sinks.push_process"],
            cwd=ROOT,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # where libraries might write the address
            start_new_session=True,  # Ctrl-C is for the program alone
        )

    @property
    def frames(self) -> int:
        return self._last.get("frames", 0)

    @property
    def dropped(self) -> int:
        return self._lost + self._last.get("dropped", 0)

    def offer(self, frame: Frame) -> None:
        """Any thread; returns at once."""
        with self._changed:
            if len(self._waiting) == MOST_WAITING:
                self._waiting.popleft()
                self._lost += self.connected_at is not None
            self._waiting.append((time.monotonic(), frame.jpeg))
            self._changed.notify()

    def run(self) -> None:
        """Until the connection fails or `end` is called."""
        reports = threading.Thread(target=self._read_reports, name="broadcast reports", daemon=True)
        reports.start()
        try:
            self._write(json.dumps(self._order).encode() + b"\n")
            while (found := self._next()) is not None:
                stamp, jpeg = found
                self._write(HEAD.pack(stamp, len(jpeg)) + jpeg)
        except BrokenPipeError:
            pass  # the process has ended; `failed` says why
        finally:
            self._finish(reports)

    def end(self) -> None:
        """Any thread; returns at once. The server is told that the broadcast ends."""
        with self._changed:
            self._over = True
            self._changed.notify()

    def kill(self) -> None:
        """Any thread; frees `run` if it waits for a process that no longer reads."""
        self._process.kill()

    def _next(self) -> tuple[float, bytes] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._over)
            return None if self._over else self._waiting.popleft()

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        rest = memoryview(data)
        while rest:
            rest = rest[self._process.stdin.write(rest) or 0 :]

    def _finish(self, reports: threading.Thread) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            status = self._process.wait(FINISH_S + 1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        reports.join()
        if status == -signal.SIGALRM and not self.failed:
            self.failed = "timeout"
        elif status and not self.failed:
            self.failed, self.detail = "program", f"The process ended with status {status}."

    def _read_reports(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._hear(json.loads(line), time.monotonic())
        self.end()

    def _hear(self, report: Report, now: float) -> None:
        if report.get("connected"):
            self.connected_at = self._at = now
        elif "failed" in report:
            self.failed, self.detail = report["failed"], report.get("detail", "")
        else:
            sent = report["bytes"] - self._last.get("bytes", 0)
            self.bit_rate = round(8 * sent / max(now - self._at, 0.001))
            self._last, self._at = report, now
