"""A rented instance as its guard sees it, with limits of seconds."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import psutil

from tests.deploy.host import PATH, ROOT, wait_for
from tests.deploy.standin import CONTAINER_KEY, StandIn
from tests.ports import free_port

LONG_S = 60.0  # for what usually takes some seconds


class Instance:
    """A rented instance as the guard sees it: process 1's environment and a state folder."""

    def __init__(self, folder: Path, stand_in: StandIn) -> None:
        self.state = folder / "state"
        self.fake = folder / "fake-bin"
        self.fake.mkdir()
        self.stand_in = stand_in
        self.rented = stand_in.rent(stand_in.offers[0], "mine")
        (folder / "environ").write_text(
            f"A=1\0CONTAINER_ID={self.rented.id}\0CONTAINER_API_KEY={CONTAINER_KEY}\0"
        )
        self.environment = {
            "PATH": f"{self.fake}:{PATH}",
            "GUARD_ENVIRON": str(folder / "environ"),
            "GUARD_API": stand_in.url,
            "GUARD_TICK_S": "1",
        }
        self.port = free_port()

    def guard(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                "bash",
                str(ROOT / "deploy/guard.sh"),
                command,
                "--state",
                str(self.state),
                *arguments,
            ],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def arm(self, hours_s: float = 3600, idle_s: float = 3600) -> subprocess.CompletedProcess[str]:
        done = self.guard(
            *("arm", "--port", str(self.port)),
            *("--hours", f"{hours_s / 3600:.6f}", "--idle-minutes", f"{idle_s / 60:.6f}"),
        )
        assert done.returncode == 0, done.stderr
        return done

    @property
    def shown(self) -> dict:
        return json.loads((self.state / "guard.json").read_text())

    @property
    def counted(self) -> tuple[int, int]:
        """The seconds left of the hard limit, and the uptime when they were counted."""
        hard_left, _, _, uptime, _ = (self.state / "guard.state").read_text().split()
        return int(hard_left), int(uptime)

    def gone(self) -> bool:
        return self.stand_in.left == []

    def outlives(self, seconds: int) -> bool:
        """It is still rented after its guard has counted this many more seconds."""
        until = self.counted[0] - seconds
        wait_for(lambda: self.gone() or self.counted[0] <= until, LONG_S, "the guard's seconds")
        return not self.gone()

    def end(self) -> None:
        for process in psutil.process_iter():
            try:
                if str(self.state) in " ".join(process.cmdline()):
                    process.kill()
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
