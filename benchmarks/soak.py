"""A soak test with random viewers, prompts and engine failures: `make soak`.

The actions of twelve visitors and the engine's failures, which last for one frame or for so many
that the engine is reopened, are random with --seed. Prints a line per minute, then one JSON line;
ends with status 1 if the numbers of threads or descriptors or the memory have grown, if a frame was
torn or out of order, or if the server logged a traceback other than those of the engine's failures.
"""

from __future__ import annotations

import argparse
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import psutil

from benchmarks.report import emit, machine
from benchmarks.server_process import DIRECTLY, free_port, post_ms, wait_for
from benchmarks.servers import Metronome, jpeg_of, serve_ours
from benchmarks.viewers import StreamReader, Torn, connect

VIEWERS, FPS, BYTES, BUSY_MS = 40, 30.0, 8000, 2.0
FAULT_SHARE = (
    1 / 1000
)  # of the frames start a series of failures; after five the engine is reopened
LONGEST_FAULT = 8  # frames
FAULT = "simulated failure"
COUNTED = ("frames_total", "failed_frames_total", "parts_sent_total", "connections_refused_total")


class FailingEngine(Metronome):
    """An engine that fails at random."""

    def __init__(self, jpeg: bytes, chance: random.Random) -> None:
        super().__init__(jpeg, BUSY_MS)
        self._chance, self._failing = chance, 0

    def submit(self, shots: Sequence[object]) -> Future[list[Any]]:
        if not self._failing and self._chance.random() < FAULT_SHARE:
            self._failing = self._chance.randint(1, LONGEST_FAULT)
        if self._failing:
            self._failing -= 1
            raise RuntimeError(FAULT)
        return super().submit(shots)


def serve(port: int, seed: int) -> None:
    jpeg, chance = jpeg_of(BYTES), random.Random(seed)
    serve_ours(port, FPS, VIEWERS, lambda: FailingEngine(jpeg, chance))


class Crowd:
    """Threads that each act as one visitor after another until stopped."""

    def __init__(self, port: int, seed: int) -> None:
        self.port, self.stopping = port, threading.Event()
        self.done: dict[str, int] = {}
        self.faults: list[str] = []
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(seed + n),)) for n in range(12)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, chance: random.Random) -> None:
        acts = (
            self.watch,
            self.watch,
            self.dawdle,
            self.vanish,
            self.nonsense,
            self.burst,
            self.type,
        )
        while not self.stopping.is_set():
            act = chance.choice(acts)
            try:
                act(chance)
            except Torn as error:
                with self._lock:
                    self.faults.append(f"{act.__name__}: {error}")
            except OSError:
                pass  # refused, reset or timed out: allowed; only the bytes received are checked
            with self._lock:
                self.done[act.__name__] = self.done.get(act.__name__, 0) + 1
            self.stopping.wait(chance.random() * 0.3)

    def watch(self, chance: random.Random) -> None:
        """Read and check the stream for some seconds, as fast as possible."""
        path = chance.choice(("/stream", "/stream", "/stream?fps=5", "/stream?fps=0.5"))
        with connect(self.port, path) as viewer:
            viewer.settimeout(15)
            reader, buffer = StreamReader(), bytearray(1 << 16)
            until = time.monotonic() + chance.random() * 20
            while time.monotonic() < until and not self.stopping.is_set():
                count = viewer.recv_into(buffer)
                if not count:
                    return
                reader.take(memoryview(buffer)[:count])

    def dawdle(self, chance: random.Random) -> None:
        """Read a few bytes from time to time."""
        with connect(self.port, "/stream") as viewer:
            viewer.settimeout(15)
            for _ in range(chance.randrange(20)):
                viewer.recv(chance.randrange(1, 4000))
                if self.stopping.wait(chance.random()):
                    return

    def vanish(self, chance: random.Random) -> None:
        """Request the stream and close the connection, sometimes with a reset."""
        viewer = connect(self.port, "/stream")
        if chance.random() < 0.5:
            viewer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        time.sleep(chance.random() * 0.2)
        viewer.close()

    def nonsense(self, chance: random.Random) -> None:
        with socket.create_connection(("127.0.0.1", self.port), timeout=15) as connection:
            connection.sendall(chance.randbytes(chance.randrange(1, 3000)) + b"\r\n\r\n")
            connection.recv(4096)

    def burst(self, chance: random.Random) -> None:
        """Open many connections at once and send nothing."""
        connections = []
        with suppress(OSError):
            for _ in range(chance.randrange(60)):
                connections.append(socket.create_connection(("127.0.0.1", self.port), timeout=5))
        for connection in connections:
            connection.close()

    def type(self, chance: random.Random) -> None:
        post_ms(self.port)


def counters(port: int) -> dict[str, float]:
    """The server's own counters."""
    with DIRECTLY.open(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    values = {name.removeprefix("turbostream_"): value for name, _, value in pairs}
    return {name: float(values[name]) for name in COUNTED}


def settled(process: psutil.Process, after_s: float = 3.0) -> dict[str, float]:
    time.sleep(after_s)
    return {
        "threads": process.num_threads(),
        "files": process.num_fds(),
        "rss_mb": process.memory_info().rss / 1e6,
    }


def unexpected_tracebacks(log: str) -> list[str]:
    """The ends of the tracebacks in the log that are not of a simulated failure."""
    return [one[-1500:] for one in log.split("Traceback")[1:] if FAULT not in one]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", metavar="NAME", help="write the line to benchmarks/results/")
    parser.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.seed)
        return 0
    with tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        result = soak(given, log)
    emit(result, given.save)
    return 0 if result["kept"] else 1


def soak(given: argparse.Namespace, log: Any) -> dict[str, Any]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.soak", "--serve", str(port)]
    server = subprocess.Popen([*command, "--seed", str(given.seed)], stderr=log)
    result: dict[str, Any] = {
        "benchmark": "soak",
        **machine(),
        "minutes": given.minutes,
        "seed": given.seed,
    }
    try:
        wait_for(port, server)
        process = psutil.Process(server.pid)
        warm = Crowd(port, given.seed + 1000)
        time.sleep(min(60.0, given.minutes * 12))
        warm.stop()
        before = settled(process)
        crowd, started = Crowd(port, given.seed), time.monotonic()
        while (passed := time.monotonic() - started) < given.minutes * 60:
            time.sleep(min(60.0, given.minutes * 60 - passed))
            minutes, visits = (time.monotonic() - started) / 60, sum(crowd.done.values())
            now = settled(process, 0)
            print(
                f"{minutes:6.1f} min {visits:7} visits  {now}  {len(crowd.faults)} faults",
                flush=True,
            )
        crowd.stop()
        after, counted = settled(process), counters(port)
        server.terminate()
        status = server.wait(10)
    finally:
        server.kill()
        server.wait()
    log.seek(0)
    tracebacks = unexpected_tracebacks(log.read())
    returned = (
        after["rss_mb"] <= before["rss_mb"] * 1.05
        and after["files"] <= before["files"]
        and after["threads"] <= before["threads"]
    )
    kept = returned and not crowd.faults and not tracebacks and status == 0
    result |= {"before": before, "after": after, "visits": crowd.done, "server": counted}
    return result | {
        "faults": crowd.faults[:20],
        "tracebacks": tracebacks[:5],
        "status": status,
        "kept": kept,
    }


if __name__ == "__main__":
    sys.exit(main())
