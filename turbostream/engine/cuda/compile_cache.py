"""Compiled code that outlives the process: one folder of the project's own, in STATE_DIR.

A file's name is the hash of everything that decides its content (versions, card, architecture,
shapes, the source of this package that makes it), and a file beside it has the hash of the content.
It is loaded as machine code: a file that is truncated, damaged or not ours is discarded, never
opened. Called on the background compiler's thread.
"""

from __future__ import annotations

import ast
import hashlib
import logging
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from turbostream.stream.state_folder import UntrustedFile, own_folder

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[3]
COMPILER = "turbostream.engine.cuda.aot"  # the module that makes the code
KEPT = 8  # files; each is some 5 to 30 MB


def key(job: str, device_name: str) -> str:
    """The name of the compiled code of `job` on this machine."""
    parts = [job, device_name, torch.__version__, str(torch.version.cuda)]
    for package in ("diffusers", "triton"):
        try:
            parts.append(f"{package}-{version(package)}")
        except PackageNotFoundError:
            parts.append(f"no {package}")
    parts += [file.read_text(encoding="utf-8") for file in sources(ROOT, COMPILER)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def sources(root: Path, module: str) -> list[Path]:
    """The file of `module`, below `root`, and of every module there that it imports, directly or
    not, at the top or inside a function; sorted."""
    found: set[Path] = set()
    wanted = [_file_of(root, module)]
    while wanted:
        file = wanted.pop()
        if file is None or file in found:
            continue
        found.add(file)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                wanted += [_file_of(root, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                wanted += [
                    _file_of(root, f"{node.module}.{alias.name}") or _file_of(root, node.module)
                    for alias in node.names
                ]
    return sorted(found)


def _file_of(root: Path, module: str) -> Path | None:
    """The file of a module or of a package; None if it is not below `root`."""
    place = root.joinpath(*module.split("."))
    files = (place.with_name(f"{place.name}.py"), place / "__init__.py")
    return next((file for file in files if file.is_file()), None)


class Cache:
    """Files by key, under `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """Where the code of `key` is or will be; the folder exists afterwards.

        Raises OSError if it cannot be made, and ValueError if others can write to it.
        """
        try:
            return own_folder(self.folder) / f"{key}.pt2"
        except UntrustedFile as error:
            raise ValueError(
                f"the folder of compiled code {self.folder} {error}; delete it, or give another "
                "STATE_DIR"
            ) from None

    def find(self, key: str) -> Path | None:
        """The file of `key` if it exists and is complete; an incomplete one is removed."""
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
        log.warning("[init] %s is damaged or not ours; it will be compiled again.", path.name)
        self.discard(key)
        return None

    def seal(self, key: str) -> None:
        """Record the hash of the file of `key`, which is complete, and remove the oldest files."""
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
