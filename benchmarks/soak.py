"""Viewers, words and faults at random, for as long as one likes: what grows, and what breaks?

Everything is drawn from --seed. Prints a line a minute, then one JSON line; ends with status 1 if
threads, descriptors or memory have not come back, or if a frame was torn or out of order.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any

import psutil

from benchmarks.stream import RESULTS, free_port, post_ms, wait_for
from benchmarks.viewers import StreamReader, Torn, connect


class Crowd:
    """Threads that each play one visitor after another until told to stop."""

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
                pass  # refused, reset, full: allowed; what is sent is what counts
            with self._lock:
                self.done[act.__name__] = self.done.get(act.__name__, 0) + 1
            self.stopping.wait(chance.random() * 0.3)

    def watch(self, chance: random.Random) -> None:
        """Reads strictly for some seconds, as fast as it comes."""
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
        """Reads a little now and then."""
        with connect(self.port, "/stream") as viewer:
            viewer.settimeout(15)
            for _ in range(chance.randrange(20)):
                viewer.recv(chance.randrange(1, 4000))
                if self.stopping.wait(chance.random()):
                    return

    def vanish(self, chance: random.Random) -> None:
        """Asks for the stream and is gone, sometimes with a reset."""
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
        """Many connections at once that say nothing."""
        connections = []
        with suppress(OSError):
            for _ in range(chance.randrange(60)):
                connections.append(socket.create_connection(("127.0.0.1", self.port), timeout=5))
        for connection in connections:
            connection.close()

    def type(self, chance: random.Random) -> None:
        post_ms(self.port)


def settled(process: psutil.Process, after_s: float = 3.0) -> dict[str, float]:
    time.sleep(after_s)
    return {
        "threads": process.num_threads(),
        "files": process.num_fds(),
        "rss_mb": process.memory_info().rss / 1e6,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--save", metavar="NAME", help="keep the JSON line in benchmarks/results/")
    given = parser.parse_args()
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.peers", "ours", str(port), "40", "30", "8000", "2"]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    result: dict[str, Any] = {"benchmark": "soak", "given": vars(given), "load": os.getloadavg()[0]}
    try:
        wait_for(port, server)
        process = psutil.Process(server.pid)
        warm = Crowd(port, given.seed + 1000)
        time.sleep(min(60.0, given.minutes * 12))
        warm.stop()
        result["before"] = settled(process)
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
        result |= {"after": settled(process), "visits": crowd.done, "faults": crowd.faults[:20]}
        server.terminate()
        result["status"] = server.wait(10)
    finally:
        server.kill()
        server.wait()
    before, after = result["before"], result["after"]
    kept = after["rss_mb"] <= before["rss_mb"] * 1.05 and after["files"] <= before["files"]
    result["kept"] = bool(kept and after["threads"] <= before["threads"] and not crowd.faults)
    line = json.dumps(result)
    print(line)
    if given.save:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{given.save}.json").write_text(line + "\n", encoding="utf-8")
    return 0 if result["kept"] and result["status"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
