"""A machine for setup.sh to work on: a copy of the program's root in a temporary folder, fakes of
apt-get and nvidia-smi first on PATH, and a package index of empty wheels on loopback. Python, venv
and pip are the real ones; only the network and the system's packages are played.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULES = {"flask-cors": "flask_cors", "pillow": "PIL"}
NOT_HERE = "http://127.0.0.1:9"  # the discard port: nothing listens there


def normal(name: str) -> str:
    """A package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, str]:
    """name -> version of a requirements file's lines."""
    lines = (re.sub(r"\s*#.*", "", line).strip() for line in text.splitlines())
    return {normal(line.split("==")[0]): line.split("==")[1] for line in lines if line}


class Machine:
    """`setup()` runs setup.sh here; `fake()` puts a program first on its PATH."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "program"
        self.fakes = folder / "fakes"
        self.home.mkdir()
        self.fakes.mkdir()
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "TORCH_"))},
            "PATH": f"{self.fakes}:{os.environ['PATH']}",
            "PYTHON": sys.executable,
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_COMPILE": "1",
            "TORCH_INDEX": NOT_HERE,
        }
        self.fake("nvidia-smi", "exit 9")
        self.fake("df", "echo head; echo disk 0 0 $((100 * 1048576)) 0% /")
        self.copy("setup.sh")

    def copy(self, *names: str) -> None:
        for name in names:
            if (ROOT / name).is_dir():
                ignore = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / name, self.home / name, ignore=ignore)
            else:
                shutil.copy2(ROOT / name, self.home / name)

    def fake(self, name: str, *lines: str) -> None:
        program = self.fakes / name
        program.write_text("\n".join(["#!/bin/sh", *lines, ""]))
        program.chmod(0o755)

    def fake_apt(self, installed: bool) -> Path:
        """All packages are installed, or none; the file of apt-get's calls."""
        calls = self.fakes / "apt-calls"
        calls.touch()
        self.fake("dpkg-query", "printf installed" if installed else "exit 1")
        self.fake("apt-get", f'echo "$@" >>{calls}')
        self.fake("sudo", '[ "$1" != -n ] || shift', 'exec "$@"')
        return calls

    def fake_card(self, driver: str, capability: str) -> None:
        self.fake("nvidia-smi", f"echo '{driver}, {capability}'")

    def hurry(self, template: Path) -> None:
        """Copy the template instead of running `python -m venv --clear FOLDER`, to save 5 s."""
        copy = f'rm -rf "$4"; exec cp -a {template} "$4"'
        self.fake(
            "quick-python",
            f'if [ "$1 $2" = "-m venv" ]; then {copy}; fi',
            f'exec {sys.executable} "$@"',
        )
        self.environment["PYTHON"] = str(self.fakes / "quick-python")

    def start(self, *options: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", str(self.home / "setup.sh"), *options],
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def setup(self, *options: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run it to its end and check its exit status."""
        process = self.start(*options)
        stdout, stderr = process.communicate(timeout=110)
        assert process.returncode == status, f"status {process.returncode}:\n{stdout}{stderr}"
        return subprocess.CompletedProcess(process.args, status, stdout, stderr)

    def version_of(self, package: str) -> str:
        """The version that pip installed."""
        [found] = (self.home / ".venv/lib").glob(f"python*/site-packages/{package}-*.dist-info")
        return found.name.removeprefix(f"{package}-").removesuffix(".dist-info")


def write_wheel(folder: Path, name: str, version: str, files: dict[str, bytes]) -> None:
    """A wheel that pip accepts."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{normal(name).replace('-', '_')}-{version}"
    info = f"{stem}.dist-info"
    files = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{path},{_digest(data)},{len(data)}" for path, data in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
        for path, data in files.items():
            wheel.writestr(path, data)


def _digest(data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    return "sha256=" + digest.rstrip(b"=").decode()


def write_index(folder: Path, requirements: Iterable[str], torch_builds: Iterable[str]) -> None:
    """PyPI (folder/simple) and PyTorch's index (folder/<build>) as folders of small wheels."""
    for text in requirements:
        for name, version in pins(text).items():
            module = MODULES.get(name, name.replace("-", "_"))
            write_wheel(folder / "simple" / name, name, version, {f"{module}/__init__.py": b""})
    own_pip = importlib.metadata.distribution("pip")
    contents = {
        str(path): Path(str(own_pip.locate_file(path))).read_bytes()
        for path in own_pip.files or ()
        if str(path).startswith("pip/") and "__pycache__" not in str(path)
    }
    write_wheel(folder / "simple/pip", "pip", own_pip.version, contents)
    torch = pins((ROOT / "requirements.txt").read_text())["torch"]
    card = b"class cuda:\n    is_available = staticmethod(lambda: True)\n"
    for build in torch_builds:
        files = {"torch/__init__.py": card}
        write_wheel(folder / build / "torch", "torch", f"{torch}+{build}", files)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def listening(handler: Callable[..., BaseHTTPRequestHandler], name: str) -> Iterator[str]:
    """A server on loopback, in a thread called `name`; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = False
    thread = threading.Thread(target=lambda: server.serve_forever(0.05), name=name)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """The folder on loopback; its address."""
    with listening(partial(_Quiet, directory=str(folder)), "package-index") as address:
        yield address
