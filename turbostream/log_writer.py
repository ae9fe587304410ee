"""The log of the entry points: a bounded queue, and a thread that writes it to stderr.

A write to a full pipe that nobody reads never returns, and a slow disk or terminal blocks too. Only
this thread may be blocked by that. Lines keep their order; a line that finds the queue full is
dropped, and the log states how many lines are missing. Standard library only; must not know what
is logged.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from typing import TextIO

LONGEST_QUEUE = 1000  # lines
EXIT_S = 0.5  # how long a process that exits waits for its last lines to be written


class LogWriter(logging.Handler):
    """Writes records to `stream`, through its file descriptor if it has one."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.dropped = 0  # lines in total
        self._unreported = 0
        self._stream = stream
        self._lines: deque[str] = deque()
        self._changed = threading.Condition()
        self._writing = self._closing = False
        try:
            # Not through the stream's buffer, whose lock would be held during a blocked write.
            self._descriptor: int | None = stream.fileno()
        except (OSError, ValueError, AttributeError):
            self._descriptor = None
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record; any thread. Waits for the write only if the process is about to end."""
        try:
            line = self.format(record) + "\n"
        except Exception:  # a wrong format is the caller's mistake; logging reports it
            self.handleError(record)
            return
        with self._changed:
            if self._closing or len(self._lines) >= LONGEST_QUEUE:
                self._count_dropped()
                return
            if self._unreported:
                line = f"[log] {self._unreported} lines are missing here: stderr was full.\n{line}"
                self._unreported = 0
            self._lines.append(line)
            self._changed.notify_all()
        if record.levelno >= logging.CRITICAL:  # the watchdog's message before it ends the process
            self.flush()

    def flush(self) -> None:
        """Wait until everything is written, at most EXIT_S."""
        deadline = time.monotonic() + EXIT_S
        with self._changed:
            while self._lines or self._writing:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    return
                self._changed.wait(left_s)

    def close(self) -> None:
        """Stop the thread; logging.shutdown calls this after `flush`."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(0.1)  # a blocked thread ends with the process
        super().close()

    def _count_dropped(self) -> None:
        self.dropped += 1
        self._unreported += 1

    def _run(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                while not self._lines and not self._closing:
                    self._changed.wait()
                if not self._lines:
                    return
                self._writing = True
                line = self._lines.popleft()
            try:
                self._write(line)
            except (OSError, ValueError):  # a full disk, a pipe without a reader
                with self._changed:
                    self._count_dropped()

    def _write(self, text: str) -> None:
        if self._descriptor is None:
            self._stream.write(text)
            self._stream.flush()
            return
        data = memoryview(text.encode("utf-8", "backslashreplace"))
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # another process made the pipe non-blocking
                time.sleep(0.05)


def take_over() -> None:
    """Replace the root logger's plain stream handlers with LogWriters."""
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if type(handler) is logging.StreamHandler:
            writer = LogWriter(handler.stream)
            writer.setFormatter(handler.formatter)
            writer.setLevel(handler.level)
            root.removeHandler(handler)
            root.addHandler(writer)
