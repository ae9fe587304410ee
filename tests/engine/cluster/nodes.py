"""Two nodes of a real Ray cluster on this machine, in a process of their own.

Run as a program it starts them, writes where they are as one line of JSON, and ends with its input.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
STORE_BYTES = 100_000_000
ATTEMPTS = 4  # Ray gives a node up that has not started after 30 s, as on a busy machine
# As the program starts Ray itself: on 127.0.0.1 alone, and without reports of its use.
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}


class Nodes:
    """address: of the head node. raylets: process ids, whose end is the end of a node."""

    def __init__(self) -> None:
        # Not TMPDIR: the path of a socket may have about a hundred characters.
        self.folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
        (self.folder / "ray").mkdir()
        self.environment = {**ENVIRONMENT, "RAY_TMPDIR": str(self.folder)}
        for _ in range(ATTEMPTS):
            self._process = self._started()
            assert self._process.stdout is not None
            line = self._process.stdout.readline()
            if line:
                break
            self._process.communicate()
        found: dict[str, Any] = json.loads(line)
        self.address: str = found["address"]
        self.raylets: list[int] = found["raylets"]

    def _started(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.engine.cluster.nodes"],
            cwd=ROOT,
            env={**os.environ, **self.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def kill_second(self) -> None:
        os.kill(self.raylets[1], signal.SIGKILL)

    def close(self) -> None:
        self._process.communicate(timeout=60)
        shutil.rmtree(self.folder)


def main() -> None:
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": STORE_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    nodes = [cluster.head_node, cluster.add_node(**node)]
    raylets = [one.all_processes["raylet"][0].process.pid for one in nodes]
    print(json.dumps({"address": cluster.address, "raylets": raylets}), flush=True)
    sys.stdin.read()
    cluster.shutdown()


if __name__ == "__main__":
    main()
