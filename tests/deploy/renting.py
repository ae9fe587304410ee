"""deploy/vast.sh as the user of the laptop runs it."""

from __future__ import annotations

import subprocess

from tests.deploy.laptop import Laptop


class Vast:
    """Call it with vast.sh's arguments; `environment` is what its user has set."""

    def __init__(self, laptop: Laptop, environment: dict[str, str | None]) -> None:
        self.environment = environment
        self._laptop = laptop

    def __call__(self, *arguments: str, **changes: str | None) -> subprocess.CompletedProcess[str]:
        environment = self.environment | changes
        return self._laptop.run("deploy/vast.sh", *arguments, timeout_s=200, **environment)
