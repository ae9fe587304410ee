"""How long an OSC message takes, and what a flood of them costs the viewers.

`python -m benchmarks.osc [--engine simulated|demo] [--messages 200] [--seconds 10] [--pairs 2]`

Starts the real server, and sends datagrams on two paths: directly to its OSC_PORT, and to
deploy/osc_bridge.py, which sends them through a real ssh and sshd on loopback to the control
socket. For each path it measures, while one viewer watches, the time from a message to the first
GET /scene that shows it; then frames/s at the slowest of two viewers, in turn at rest and while
another process sends --rate messages per second. Prints a table and one JSON line.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.control import ROOT, Server, watched
from benchmarks.report import emit, machine, percentile
from benchmarks.server_process import free_port
from benchmarks.tunnel import tunnel

BATCHES_PER_S = 1000
READY_S = 20.0


def message(address: str, value: float) -> bytes:
    """An OSC message with one float; the address has 4n - 1 characters, or is padded."""
    text = address.encode()
    return text + bytes(4 - len(text) % 4) + b",f\0\0" + struct.pack(">f", value)


class Scene:
    """GET /scene over one connection."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def brightness(self) -> float:
        self._connection.request("GET", "/scene")
        return float(json.load(self._connection.getresponse())["brightness"])

    def wait_for(self, brightness: float, timeout_s: float = 5.0) -> bool:
        deadline = time.perf_counter() + timeout_s
        while abs(self.brightness() - brightness) > 1e-6:
            if time.perf_counter() > deadline:
                return False
        return True

    def close(self) -> None:
        self._connection.close()


def delays_ms(udp_port: int, scene: Scene, messages: int) -> tuple[list[float], int]:
    """(milliseconds from each message to the first scene that shows it, how many were lost)."""
    found, lost = [], 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(messages):
            brightness = 0.5 + number % 500 / 1000
            time.sleep(random.uniform(0.02, 0.06))
            began = time.perf_counter()
            sender.sendto(message("/brightness", brightness), ("127.0.0.1", udp_port))
            if scene.wait_for(brightness):
                found.append((time.perf_counter() - began) * 1000)
            else:
                lost += 1
    return found, lost


def flood(port: int, rate: float) -> None:
    """Send `rate` messages per second until killed."""
    batch = max(1, round(rate / BATCHES_PER_S))
    due, number = time.monotonic(), 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        while True:
            due += batch / rate
            for _ in range(batch):
                number += 1
                sender.sendto(message("/speed", 0.1 + number % 1000 / 1000), ("127.0.0.1", port))
            time.sleep(max(0.0, due - time.monotonic()))


@contextmanager
def flooded(port: int, rate: float) -> Iterator[None]:
    command = [sys.executable, "-m", "benchmarks.osc", "--flood", str(port), "--rate", str(rate)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        yield
        if process.poll() is not None:
            raise SystemExit("The process that sends messages has ended.")
    finally:
        process.kill()
        process.wait()


@contextmanager
def bridged(port: int) -> Iterator[int]:
    """A UDP port whose datagrams go through ssh to the server at `port`."""
    udp_port = free_port()
    bridge = str(ROOT / "deploy/osc_bridge.py")
    with tunnel(port, None) as local:
        command = [sys.executable, bridge, str(os.getpid()), str(udp_port), str(local)]
        process = subprocess.Popen(command)
        try:
            yield udp_port
        finally:
            process.kill()
            process.wait()


def until_it_works(udp_port: int, scene: Scene) -> None:
    deadline = time.monotonic() + READY_S
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        while True:
            sender.sendto(message("/brightness", 0.25), ("127.0.0.1", udp_port))
            if scene.wait_for(0.25, timeout_s=0.2):
                return
            if time.monotonic() > deadline:
                raise SystemExit("No OSC message reaches the scene.")


def measure(server: Server, udp_port: int, options: argparse.Namespace) -> dict[str, Any]:
    scene = Scene(server.port)
    until_it_works(udp_port, scene)
    viewer = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    viewer.request("GET", "/stream?fps=1")
    viewer.getresponse().read(1)
    found, lost = delays_ms(udp_port, scene, options.messages)
    viewer.close()
    rest, flooding = [], []
    for _ in range(options.pairs):
        rest.append(min(watched(server.port, options.seconds)[0]["rates"]))
        with flooded(udp_port, options.rate):
            flooding.append(min(watched(server.port, options.seconds)[0]["rates"]))
    until_it_works(udp_port, scene)
    scene.close()
    return {
        "delay_p50_ms": round(percentile(found, 0.5), 2),
        "delay_p95_ms": round(percentile(found, 0.95), 2),
        "lost": lost,
        "fps_at_rest": [round(one, 2) for one in rest],
        "fps_in_flood": [round(one, 2) for one in flooding],
        "share": round(sum(flooding) / sum(rest), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--engine", choices=("demo", "simulated"), default="simulated")
    parser.add_argument("--messages", type=int, default=200, help="whose delay is measured")
    parser.add_argument("--rate", type=float, default=10_000.0, help="messages/s of the flood")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement of frames")
    parser.add_argument("--pairs", type=int, default=2, help="at rest and flooded, in turn")
    parser.add_argument("--target-fps", type=float, default=30.0)
    parser.add_argument("--save", help="a name in benchmarks/results")
    parser.add_argument("--flood", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.flood:
        flood(options.flood, options.rate)
    osc_port = free_port()
    os.environ["OSC_PORT"] = str(osc_port)  # for the server
    rows = []
    print("path    message to /scene ms: p50    p95  lost | frames/s at rest  flooded  share")
    with (
        tempfile.TemporaryDirectory(prefix="osc-") as state_dir,
        Server(options.engine, options.target_fps, state_dir) as server,
        bridged(server.port) as bridge_port,
    ):
        for path, udp_port in (("direct", osc_port), ("bridge", bridge_port)):
            row = {"path": path, **measure(server, udp_port, options)}
            rows.append(row)
            print(
                f"{path:8} {row['delay_p50_ms']:25.1f} {row['delay_p95_ms']:6.1f} {row['lost']:5}"
                f" | {max(row['fps_at_rest']):16.1f} {min(row['fps_in_flood']):8.1f}"
                f" {row['share']:6.0%}",
                flush=True,
            )
    result = {"benchmark": "osc", "engine": options.engine, "target_fps": options.target_fps}
    result |= {"rate": options.rate, "seconds": options.seconds, "rows": rows}
    emit({**result, **machine()}, options.save)


if __name__ == "__main__":
    main()
