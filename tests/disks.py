"""Disks that are small, full, out of inodes or read-only: a tmpfs each, which needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PAGE = 4096
needs_mounts = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("mount"), reason="mounts need root"
)


class Disk:
    """What is mounted at `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self, free_pages: int = 0) -> None:
        """Until only so many pages are free; others may write meanwhile, and may take them."""
        with self._filler.open("ab", buffering=0) as filler, suppress(OSError):
            while (pages := self._free_pages() - free_pages) > 0:
                filler.write(bytes(pages * PAGE))
        assert self._free_pages() <= free_pages

    def _free_pages(self) -> int:
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize // PAGE

    @property
    def takes_nothing(self) -> bool:
        """No byte, or no file. Who cleans up after itself may have made room meanwhile."""
        return self._free_pages() == 0 or os.statvfs(self.folder).f_favail == 0

    def use_up_inodes(self) -> None:
        with suppress(OSError):
            for number in range(10_000):
                (self.folder / f"inode-{number}").touch()
        assert os.statvfs(self.folder).f_favail == 0

    def make_room(self) -> None:
        self._filler.unlink(missing_ok=True)
        for file in self.folder.glob("inode-*"):
            file.unlink()

    def make_read_only(self) -> None:
        subprocess.run(["mount", "-o", "remount,ro", self.folder], check=True)


@contextmanager
def mounted(folder: Path, options: str = "size=256k") -> Iterator[Disk]:
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"{options},mode=0700", "none", str(folder)]
    subprocess.run(command, check=True)
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
