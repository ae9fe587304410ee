"""The whole program on a Ray cluster of two nodes: what viewers see when one of them is killed."""

from __future__ import annotations

import shutil
import tempfile
import threading
import urllib.request
from contextlib import closing
from typing import Any

import psutil

from tests.engine.cluster.nodes import Nodes
from tests.robustness.raw import eventually
from tests.server import Server
from tests.web.reader import read_parts

VIEWERS = 10
FRAMES = 5  # that each viewer gets before, and after
PATIENCE_S = 200.0


class Viewer(threading.Thread):
    """Reads /stream until it ends, or is told to leave; numbers: of the frames that it got."""

    def __init__(self, address: str) -> None:
        super().__init__(name="viewer")
        self.numbers: list[int] = []
        self.ended = False
        self._address = address
        self._leaving = threading.Event()
        self.start()

    def run(self) -> None:
        with urllib.request.urlopen(self._address + "/stream", timeout=60) as answer:
            boundary = answer.headers.get_param("boundary")
            parts = read_parts(iter(lambda: answer.read1(65536), b""), boundary)
            with closing(parts):
                for part in parts:
                    if self._leaving.is_set():
                        return
                    self.numbers.append(part.number)
        self.ended = True

    def leave(self) -> None:
        self._leaving.set()


def workers(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.status()["engine"].get("workers", [])
    return found


def states(server: Server) -> set[str]:
    return {one["state"] for one in workers(server)}


def test_a_node_killed_under_ten_viewers_ends_no_stream_and_frames_go_on(nodes: Nodes) -> None:
    with Server(ENGINE="ray", RAY_ADDRESS=nodes.address, **nodes.environment) as server:
        server.wait_until_healthy()
        eventually(lambda: states(server) == {"ready"}, PATIENCE_S)
        assert len({one["node"] for one in workers(server)}) == 2
        viewers = [Viewer(server.address) for _ in range(VIEWERS)]
        try:
            eventually(lambda: all(len(one.numbers) >= FRAMES for one in viewers), PATIENCE_S)
            eventually(lambda: all(one["frames"] for one in workers(server)), PATIENCE_S)
            nodes.kill_second()
            seen = [len(one.numbers) for one in viewers]
            for viewer, before in zip(viewers, seen, strict=True):
                eventually(lambda v=viewer, b=before: len(v.numbers) >= b + FRAMES, PATIENCE_S)
            eventually(lambda: sum(one["restarts"] for one in workers(server)) == 1, PATIENCE_S)
            assert not any(one.ended for one in viewers)
        finally:
            for one in viewers:
                one.leave()
            for one in viewers:
                one.join()
        for one in viewers:
            assert one.numbers == sorted(one.numbers)
        assert server.request("/healthz")[0] == 200
        assert server.status()["failed_frames"] == 0
        metrics = server.request("/metrics")[1].decode()
        for one in workers(server):
            labels = f'{{node="{one["node"]}",worker="{one["name"]}"}}'
            assert f"turbostream_worker_restarts_total{labels} {one['restarts']}.0" in metrics
            assert f"turbostream_worker_ready{labels} 1.0" in metrics


def test_a_ray_that_is_started_here_listens_on_this_machine_alone_and_ends_with_the_program() -> (
    None
):
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # a short path, for sockets
    with Server(ENGINE="ray", RAY_WORKERS="1", RAY_TMPDIR=folder) as server:
        server.wait_until_healthy(PATIENCE_S)
        family = psutil.Process(server.process.pid).children(recursive=True)
        assert any("gcs_server" in one.name() for one in family)
        listening = {
            connection.laddr.ip
            for one in family
            for connection in one.net_connections()
            if connection.status == psutil.CONN_LISTEN
        }
        assert listening <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
        known = [found for one in family if "PATH" in (found := one.environ())]
        assert known  # processes that set their own title lose theirs
        assert all(one.get("RAY_USAGE_STATS_ENABLED") == "0" for one in known)
        server.signal()  # Ray has handlers of its own for it
        assert server.wait(PATIENCE_S) == 0
    psutil.wait_procs(family, PATIENCE_S)
    assert not [one for one in family if one.is_running()]
    shutil.rmtree(folder)
