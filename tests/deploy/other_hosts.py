"""Instances that differ from the tests' own one: another user, login shell, ssh server, process 1.

What differs in the system's files, such as /etc/passwd, only the host's own mounts show. They need
root.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.deploy.host import PATH, PATIENCE_S, Host, answers, path_without, wait_for

NOISE = "WELCOME TO THE MACHINE"
# Prints on both streams, begins an escape sequence, and ends without a line break.
NOISY = f"""echo "{NOISE} ===: base /nowhere"
echo "{NOISE}, on stderr" >&2
printf 'free_mb 0\\nrsync yes\\n\\033[31m{NOISE}'
printf '\\033]0;{NOISE}\\007' >&2
"""
# As the start-up file of some rented images has it.
AUTO_TMUX = """if [ -z "$TMUX" ] && [ ! -e ~/.no_auto_tmux ]; then
  tmux attach-session -t ssh_tmux || tmux new-session -s ssh_tmux
  exit
fi
"""
# Process 1 that starts the ssh server and never waits for anybody else's child.
REAPS_NOBODY = """import signal, subprocess, sys
server = subprocess.Popen(sys.argv[1:])
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
while True:
    signal.pause()
"""


@dataclass
class Kind:
    """How a host differs."""

    user: str = "root"
    home: str = "home"
    base: str = "workspace"
    shell: str = "/bin/bash"
    startup: str = ""  # of the login shell
    sshd: str = ""  # more lines of sshd_config
    environment: dict[str, str] = field(default_factory=dict)
    dropbear: bool = False
    reaps: bool = True
    lacks: tuple[str, ...] = ()  # tools that are missing until apt-get installs something


class OtherHost(Host):
    """A host of one kind; `start()` as Host has it."""

    def __init__(self, folder: Path, kind: Kind) -> None:
        super().__init__(folder)
        self.kind = kind
        self.home = self.home.rename(folder / kind.home)
        self.base = self.base.rename(folder / kind.base)
        self.environment["HOME"] = str(self.home)
        self.environment |= kind.environment
        (self.home / ".bashrc").write_text(kind.startup)
        (self.home / ".profile").write_text(kind.startup)
        self.uid = 0 if kind.user == "root" else 1999
        self._write_passwd()
        if self.uid:
            for path in (self.home, *self.home.iterdir(), self.base, self.rental):
                os.chown(path, self.uid, self.uid)
        if kind.lacks:
            self._lack(*kind.lacks)

    def allow(self, key: Path) -> None:
        super().allow(key)
        keys = self.home / ".ssh/authorized_keys"  # where dropbear looks
        keys.parent.mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(self.folder / "authorized_keys", keys)
        os.chown(keys.parent, self.uid, self.uid)
        os.chown(keys, self.uid, self.uid)

    def start(self, mounts: str = "") -> None:
        self._start(self._mounts() + mounts, self._command())

    def _write_passwd(self) -> None:
        kind = self.kind
        entry = f"{kind.user}:x:{self.uid}:{self.uid}::{self.home}:{kind.shell}\n"
        for name, line in (
            ("passwd", entry),
            ("shadow", f"{kind.user}:*:19000:0:99999:7:::\n"),
            ("group", f"{kind.user}:x:{self.uid}:\n"),
        ):
            lines = Path("/etc", name).read_text().splitlines(keepends=True)
            others = [line for line in lines if not line.startswith(f"{kind.user}:")]
            (self.folder / name).write_text("".join([line, *others]))

    def _lack(self, *tools: str) -> None:
        """They are missing, dpkg-query knows of nothing, and apt-get brings all of them."""
        folder = path_without(self.folder / "tools", *tools)
        self.environment["PATH"] = f"{self.fake}:{folder}"
        bring = "; ".join(f"ln -s {shutil.which(tool, path=PATH)} {folder}/" for tool in tools)
        self.fake_program("dpkg-query", "exit 1")
        self.fake_program("apt-get", f'case "$*" in *" install "*) {bring} ;; esac')

    def _mounts(self) -> str:
        lines = [
            f"mount --bind {shlex.quote(str(self.folder / name))} /etc/{name}"
            for name in ("passwd", "shadow", "group")
        ]
        if self.uid:
            lines.append(self._open_the_interpreters_way())
        return "\n".join(lines) + "\n"

    def _open_the_interpreters_way(self) -> str:
        """The tests' interpreter may lie below a folder that only root may enter."""
        base = Path(sys.base_prefix)
        shut = [above for above in base.parents if not above.stat().st_mode & 0o001]
        if not shut:
            return ":"
        kept = self.folder / "interpreter"
        kept.mkdir(exist_ok=True)
        return (
            f"mount --bind {base} {kept}; mount -t tmpfs -o mode=755 none {shut[-1]}; "
            f"mkdir -p {base}; mount --bind {kept} {base}"
        )

    def _command(self) -> list[str]:
        if self.kind.dropbear:
            key = self.folder / "dropbear_key"
            if not key.exists():
                make = ["dropbearkey", "-t", "ed25519", "-f", str(key)]
                subprocess.run(make, check=True, capture_output=True)
            server = ["dropbear", "-F", "-E", "-r", str(key), "-p", f"127.0.0.1:{self.port}"]
        else:
            server = self.sshd(self.kind.sshd)
        if not self.kind.reaps:
            server = [sys.executable, "-c", REAPS_NOBODY, *server]
        return server

    def _start(self, mounts: str, server: list[str]) -> None:
        more = [] if self.kind.reaps else ["--pid", "--fork", "--kill-child", "--mount-proc"]
        command = ["unshare", "--mount", *more, "sh", "-ec", f'{mounts}\nexec "$@"', "sh", *server]
        environment = {**os.environ, "PATH": PATH} | (
            self.environment if self.kind.dropbear else {}
        )
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment
            )
        wait_for(lambda: answers(self.port), PATIENCE_S, "the ssh server")

    def kill(self) -> None:
        """The ssh server and all its child processes."""
        if self._process is None:
            return
        children = psutil.Process(self._process.pid).children(recursive=True)
        for process in [psutil.Process(self._process.pid), *children]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait(PATIENCE_S)
        self._process = None
