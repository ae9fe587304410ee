"""Compiled code that outlives the process: one folder of the project's own, in STATE_DIR.

A file's name is the hash of everything that decides its content (versions, card, architecture,
shapes, this package's own source), and beside it stands the hash of the content itself. It is
loaded as machine code: a file that is cut off, damaged or not ours is discarded, never opened.
"""

from __future__ import annotations

import hashlib
import logging
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from turbostream.stream.state_folder import UntrustedFile, own_folder

log = logging.getLogger(__name__)

# Of the engine, in the key: all that decides the compiled code. A test compares this list with
# what `aot.py` imports.
SOURCES = (
    "cuda/aot.py",
    "model/inputs.py",
    "model/step.py",
    "rewrite/folded.py",
    "rewrite/norms.py",
    "rewrite/swap.py",
    "rewrite/upsampled.py",
)
KEPT = 8  # files; each is some 5 to 30 MB


def key(job: str, device_name: str) -> str:
    """The name of the compiled code of `job` on this machine."""
    parts = [job, device_name, torch.__version__, str(torch.version.cuda)]
    for package in ("diffusers", "triton"):
        try:
            parts.append(f"{package}-{version(package)}")
        except PackageNotFoundError:
            parts.append(f"no {package}")
    engine = Path(__file__).parent.parent
    parts += [(engine / name).read_text(encoding="utf-8") for name in SOURCES]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


class Cache:
    """Files by key, under `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """Where the code of `key` is or will be; the folder exists afterwards.

        Raises OSError where it cannot be made, and ValueError where others can write to it.
        """
        try:
            return own_folder(self.folder) / f"{key}.pt2"
        except UntrustedFile as error:
            raise ValueError(
                f"the folder of compiled code {self.folder} {error}; delete it, or give another "
                "STATE_DIR"
            ) from None

    def find(self, key: str) -> Path | None:
        """The file of `key` if it is there and whole; what is not whole goes."""
        path = self.path(key)
        if not path.exists():
            return None
        seal = path.with_suffix(".sha256")
        try:
            whole = seal.read_text(encoding="ascii").strip() == _digest(path)
        except (OSError, ValueError):
            whole = False
        if whole:
            return path
        log.warning("[init] %s is damaged or not ours; it is compiled again.", path.name)
        self.discard(key)
        return None

    def seal(self, key: str) -> None:
        """Vouch for the file of `key`, which is complete; and forget the oldest."""
        path = self.path(key)
        seal = path.with_suffix(".sha256")
        unfinished = seal.with_suffix(".tmp")
        unfinished.write_text(_digest(path), encoding="ascii")
        unfinished.replace(seal)
        files = sorted(self.folder.glob("*.pt2"), key=lambda file: file.stat().st_mtime)
        for old in files[:-KEPT]:
            self.discard(old.stem)

    def discard(self, key: str) -> None:
        self.path(key).unlink(missing_ok=True)
        self.path(key).with_suffix(".sha256").unlink(missing_ok=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
