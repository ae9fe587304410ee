"""One setup at a time for an environment: a folder beside it, with the processes that hold it.

The folder's `pids` names the setup and the pip that it runs: when the setup is killed, the next one
waits for that pip. Older versions of setup.sh use the same folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from getpass import getuser
from pathlib import Path

from messages import SetupError, say


class Lock:
    def __init__(self, venv: Path) -> None:
        self.folder = venv.with_name(f"{venv.name}.lock")
        self._pids = self.folder / "pids"
        self._is_held = False

    def take(self) -> None:
        """Wait until no other setup runs, then hold the lock."""
        said = False
        while not self._make_folder():
            if not self._processes():
                time.sleep(1)  # its holder may be about to write its number
            holder = next(filter(_is_alive, self._processes()), None)
            if holder is None:
                shutil.rmtree(self.folder, ignore_errors=True)  # left by one that was killed
                continue
            if not said:
                said = True
                say(
                    f"another setup.sh (process {holder}) is running here: waiting for it. "
                    f"(If that is wrong: rm -r {self.folder})"
                )
            time.sleep(1)
        self._is_held = True
        self.add(os.getpid())

    def add(self, process: int) -> None:
        """That process, too, has to end before the next setup begins."""
        with self._pids.open("a", encoding="ascii") as file:
            file.write(f"{process}\n")

    def release(self) -> None:
        if self._is_held:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _make_folder(self) -> bool:
        above = self.folder.parent
        try:
            above.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir()
        except FileExistsError:
            if self.folder.is_dir():
                return False
            raise SetupError(f"{self.folder} is in the way: remove it.") from None
        except OSError:
            raise SetupError(f"{above} cannot be written to by {_user()}.") from None
        return True

    def _processes(self) -> list[int]:
        """Those that the lock names."""
        try:
            words = self._pids.read_text(encoding="ascii", errors="replace").split()
        except OSError:
            return []
        return [int(word) for word in words if word.isdigit()]


def _user() -> str:
    try:
        return getuser()
    except (KeyError, OSError):  # a user without an entry in /etc/passwd
        return f"user {os.getuid()}"


def _is_alive(process: int) -> bool:
    """It exists, and is not a zombie that nobody reaps."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    asked = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False
    )
    return not asked.stdout.startswith("Z")
