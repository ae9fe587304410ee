"""The progress of a batch: notes, and a bar on a terminal. Runs on the caller's thread."""

from __future__ import annotations

import time
from typing import TextIO

from turbostream.start_screen import bar


class Screen:
    """Writes to `screen`, each line with `prefix`. Errors are ignored: without a reader (`| head`,
    a lost connection) painting continues."""

    def __init__(self, screen: TextIO, prefix: str = "[batch]") -> None:
        self._screen, self._prefix = screen, prefix
        self._gone = False
        self._began = (time.monotonic(), 0)

    def note(self, text: str) -> None:
        clear = "\r\x1b[K" if self._at_terminal() else ""
        self._write(f"{clear}{self._prefix} {text}\n")

    def begin(self, done: int) -> None:
        """The time remaining is estimated from now on; `done`: what is done already."""
        self._began = (time.monotonic(), done)

    def progress(self, done: int, total: int, more: int) -> None:
        """`done` of `total`, the last `more` of them just now. Without a terminal: a note for each
        tenth."""
        text = f"{done:,} of {total:,}{self._left(done, total)}"
        if self._at_terminal():
            end = "\n" if done == total else ""
            self._write(f"\r\x1b[K{self._prefix} {bar(done, total)} {text}{end}")
        elif done * 10 // total != (done - more) * 10 // total:
            self.note(text)

    def _left(self, done: int, total: int) -> str:
        began, before = self._began
        took = time.monotonic() - began
        if done <= before or took <= 0 or done >= total:
            return ""
        rate = (done - before) / took
        left = round((total - done) / rate)
        clock = f"{left // 3600}:{left % 3600 // 60:02d}:{left % 60:02d}"
        return f", {rate:.1f} frames/s, {clock.removeprefix('0:')} left"

    def _at_terminal(self) -> bool:
        return not self._screen.closed and self._screen.isatty()

    def _write(self, text: str) -> None:
        if self._gone:
            return
        try:
            self._screen.write(text)
            self._screen.flush()
        except (OSError, ValueError):  # ValueError: the file is closed
            self._gone = True


def summary(painted: int, took_s: float, price: float | None) -> str:
    """price: dollars an hour."""
    rate = painted / took_s if took_s > 0 else 0.0
    cost = "" if price is None else f", ${price * took_s / 3600:.4f} at ${price:g} an hour"
    return f"{painted} painted in {took_s:.1f} s, {rate:.1f} frames/s{cost}"
