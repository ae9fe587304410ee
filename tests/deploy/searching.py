"""Looks for secrets in every process's arguments and environment while something runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path


class Search:
    """Looks through /proc until it is left; `found` says where a secret was seen.

    `typed` is the command that the user himself gave the secret to; its subshells look the same
    until they have their turn on a busy machine, and what it starts otherwise has other words. A
    process has to be seen twice: one that is being started is for a moment a copy of the one that
    starts it.
    """

    def __init__(self, secrets: list[str], typed: Sequence[str] = ()) -> None:
        self.found: set[str] = set()
        self.scans = 0
        self._typed = "".join(f"{word}\0" for word in typed).encode()
        self._secrets = [secret.encode() for secret in secrets]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="search")

    def __enter__(self) -> Search:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(30)

    def _look(self) -> None:
        before: set[str] = set()
        while not self._ended.wait(0.02):
            now = set()
            for process in Path("/proc").glob("[0-9]*"):
                if int(process.name) == os.getpid():
                    continue
                for what in ("cmdline", "environ"):
                    try:
                        content = (process / what).read_bytes()
                    except OSError:
                        continue
                    if any(secret in content for secret in self._secrets):
                        try:
                            words = (process / "cmdline").read_bytes()
                        except OSError:
                            continue
                        if words != self._typed:
                            shown = words.replace(b"\0", b" ")[:200]
                            now.add(f"{what} of {process.name}: {shown!r}")
            self.found |= now & before
            before = now
            self.scans += 1


def files_with(folder: Path, secrets: list[str]) -> list[Path]:
    """The files below `folder` that contain one of the secrets."""
    found = []
    for file in folder.rglob("*"):
        if file.is_file() and not file.is_symlink():
            content = file.read_bytes()
            if any(secret.encode() in content for secret in secrets):
                found.append(file)
    return found
