"""A video or an address as the program sees it: a process that reads it and sends its pictures."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from PIL import Image

import turbostream
from turbostream.sources.picture import Original
from turbostream.sources.video_process import HEAD, PIXELS, REPORT, Order, Report

ROOT = Path(turbostream.__file__).resolve().parent.parent


class VideoLink:
    """opened: whether the video could be opened. failed, detail: see `Report`; failed is `timeout`
    for an address that does not answer, and empty after `kill`."""

    def __init__(self, order: Order) -> None:
        """Raises OSError if the process cannot be started."""
        self._order = order
        self._killed = False
        self.opened = False
        self.failed = self.detail = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "turbostream.sources.video_process"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # where libraries might write the address
            start_new_session=True,  # Ctrl-C is for the program alone
        )

    def run(self, take: Callable[[bytes | Original], object]) -> None:
        """Call `take` with each picture, as a file or decoded, until the end or `kill`."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(self._order).encode() + b"\n")
            process.stdin.flush()
            self._read(process.stdout, take)
        except BrokenPipeError:
            pass  # the process has ended; its status says why
        finally:
            process.kill()
            status = process.wait()
            process.stdout.close()
            with suppress(BrokenPipeError):
                process.stdin.close()
        if self._killed or self.failed:
            return
        if status == -signal.SIGALRM:
            self.failed = "timeout"
        elif status not in (0, -signal.SIGKILL):
            self.failed, self.detail = "program", f"The process ended with status {status}."

    def kill(self) -> None:
        """Any thread; `run` returns."""
        self._killed = True
        self._process.kill()

    def _read(self, file: IO[bytes], take: Callable[[bytes | Original], object]) -> None:
        while len(head := file.read(HEAD.size)) == HEAD.size:
            kind, width, height, size = HEAD.unpack(head)
            content = file.read(size)
            if len(content) < size:
                return
            if kind == REPORT:
                self._hear(json.loads(content))
            elif kind == PIXELS:
                image = Image.frombytes("RGB", (width, height), content)
                take(Original(image, image.size))
            else:
                take(content)

    def _hear(self, report: Report) -> None:
        self.opened = self.opened or report.get("opened", False)
        self.failed, self.detail = report.get("failed", ""), report.get("detail", "")
