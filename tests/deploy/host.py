"""The instance: a real sshd on a loopback port, with a home and a folder to deploy to."""

from __future__ import annotations

import http.client
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import psutil

from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
USER = pwd.getpwuid(os.getuid()).pw_name  # the only one that an sshd of this user admits
PATIENCE_S = 30.0  # for what usually takes no time; the machine may be busy


def wait_for(true, timeout_s: float, what: str):
    """The first truthy result of `true`; fails after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = true()
        if found:
            return found
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s:g} s"
        time.sleep(0.05)


def keygen(path: Path, passphrase: str = "") -> Path:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(path)]
    subprocess.run(command, check=True)
    return path


class Host:
    """The instance: an sshd with its own host key, home and PATH, and a folder to deploy to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.base = folder / "workspace"
        self.fake = folder / "fake-bin"
        for made in (self.home, self.base, self.fake):
            made.mkdir(parents=True)
        self.port = free_port()
        self.server_port = free_port()
        self.api_port = free_port()  # where a stand-in for the rental's API may listen
        # The environment of process 1 on a rented instance; empty: not rented.
        self.rental = folder / "environ"
        self.rental.touch()
        self.environment = {
            "HOME": str(self.home),
            "PATH": f"{self.fake}:{PATH}",
            "GUARD_ENVIRON": str(self.rental),
            "GUARD_TICK_S": "1",
            "GUARD_API": f"http://127.0.0.1:{self.api_port}",
            "WIDTH": "128",  # of the pictures; quick to paint
            "HEIGHT": "128",
        }
        self.allowed: list[Path] = []
        self._host_key = keygen(folder / "host_key")
        self._process: subprocess.Popen[bytes] | None = None

    def allow(self, key: Path) -> None:
        self.allowed.append(key)
        lines = [key.with_suffix(".pub").read_text() for key in self.allowed]
        (self.folder / "authorized_keys").write_text("".join(lines))

    def new_host_key(self) -> None:
        for old in self.folder.glob("host_key*"):
            old.unlink()
        self._host_key = keygen(self.folder / "host_key")

    def start(self, mounts: str = "") -> None:
        """`mounts`: mount commands with effect for this host only; they need root."""
        command = self.sshd()
        if mounts:
            command = ["unshare", "--mount", "sh", "-ec", f'{mounts}\nexec "$@"', "sh", *command]
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL)
        wait_for(lambda: answers(self.port), PATIENCE_S, "sshd")

    def sshd(self, more: str = "") -> list[str]:
        """The command that runs this host's sshd; `more`: lines of its configuration."""
        settings = " ".join(f'"{name}={value}"' for name, value in self.environment.items())
        config = self.folder / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {self._host_key}\n"
            f"PidFile none\nAuthorizedKeysFile {self.folder / 'authorized_keys'}\n"
            "StrictModes no\nUsePAM no\nPasswordAuthentication no\nMaxStartups 100\n"
            "KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
            f"PrintMotd no\nSubsystem sftp internal-sftp\nSetEnv {settings}\n{more}"
        )
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        sshd = shutil.which("sshd", path=PATH)
        assert sshd, "openssh-server is missing: ./setup.sh --dev --servers"
        return [sshd, "-D", "-e", "-f", str(config)]

    def kill(self) -> None:
        """The sshd and all its sessions, as if the network failed."""
        if self._process is None:
            return
        sshd = psutil.Process(self._process.pid)
        sshd.suspend()  # no session begins after they were listed
        for child in sshd.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if child.name().startswith("sshd"):
                    child.kill()
        sshd.kill()
        self._process.wait(PATIENCE_S)
        self._process = None

    def close(self) -> None:
        self.kill()
        self.end()

    def end(self, pattern: str = "") -> None:
        """Kill all processes whose command line matches, and what they start meanwhile."""

        def ended() -> bool:
            left = self.processes(pattern)
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            return not left

        wait_for(ended, PATIENCE_S, "the end of the host's processes")

    def processes(self, pattern: str = "") -> list[psutil.Process]:
        """Those in this host's folder, or started from it, whose command line matches."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.pid == os.getpid():
                    continue
                words = " ".join(process.cmdline())
                if not re.search(pattern, words):
                    continue
                if str(self.folder) in words or process.cwd().startswith(str(self.folder)):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def fake_program(self, name: str, script: str) -> None:
        program = self.fake / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def serving(self) -> int:
        """The process number of the server that holds the public port."""
        return int((self.base / "state/serving").read_text().split()[0])

    def status(self) -> dict:
        return get(self.server_port, "/status")


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def get(port: int, path: str) -> dict:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=15) as response:
        return json.load(response)


def healthy(port: int) -> bool:
    try:
        return get(port, "/healthz")["status"] == "ok"
    except (OSError, http.client.HTTPException):  # also if it ends in the middle of an answer
        return False


def path_without(folder: Path, *tools: str) -> str:
    """A PATH with links to all of PATH except these tools."""
    folder.mkdir()
    for above in reversed(PATH.split(":")):
        for tool in Path(above).glob("*"):
            (folder / tool.name).unlink(missing_ok=True)
            (folder / tool.name).symlink_to(tool)
    for name in tools:
        (folder / name).unlink()
    return str(folder)
