"""A script at a terminal: its output there, and key presses."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.deploy.host import PATIENCE_S
from tests.deploy.laptop import Laptop, Running

CTRL_C = "\x03"


class Terminal(Running):
    """`said` is the output. The terminal sends Ctrl-C to all processes in it."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._keyboard, screen = pty.openpty()
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *command],
            env=environment,
            stdin=screen,
            stdout=screen,
            stderr=screen,
        )
        os.close(screen)
        self._shown = bytearray()
        self._reader = threading.Thread(target=self._read, name="terminal")
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                self._shown += os.read(self._keyboard, 4096)
            except OSError:  # the last process that had the terminal open has ended
                return

    @property
    def said(self) -> str:
        return self._shown.decode(errors="replace")

    @property
    def ended(self) -> bool:
        """There will be no more output."""
        return self.process.poll() is not None and not self._reader.is_alive()

    def press(self, keys: str) -> None:
        os.write(self._keyboard, keys.encode())

    def echoes(self) -> bool:
        """Typed characters are shown: no script has left echo disabled."""
        return bool(termios.tcgetattr(self._keyboard)[3] & termios.ECHO)

    def close(self) -> None:
        """As when its window is closed."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGHUP)
            self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert not self._reader.is_alive(), f"something still holds the terminal: {self.said}"
        os.close(self._keyboard)


@contextmanager
def at_terminal(
    laptop: Laptop, script: str, *arguments: str, **environment: str | None
) -> Iterator[Terminal]:
    terminal = Terminal(laptop.command(script, *arguments), laptop.with_(environment))
    try:
        yield terminal
    finally:
        terminal.close()
