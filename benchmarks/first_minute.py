"""The start of the program as a user sees it: `python -m benchmarks.first_minute [SECONDS]`.

Starts the real server on a free port with one viewer that connects immediately, and measures the
seconds until it listens, the seconds until the first rendered picture (placeholders do not count)
and the distinct frames per second after that. Prints a table and one JSON line.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.server_process import free_port
from benchmarks.viewers import StreamReader, connect

ROOT = Path(__file__).resolve().parent.parent


def main(seconds: float = 15.0) -> None:
    port = free_port()
    started = time.monotonic()
    command = [sys.executable, "realtime_stream.py", "--server-port", str(port)]
    environ = {**os.environ, "KEEP_SCENE": "no"}
    server = subprocess.Popen(command, cwd=ROOT, env=environ, stderr=subprocess.DEVNULL)
    try:
        viewer = _connected(port, server)
        row: dict[str, object] = {"listening_s": round(time.monotonic() - started, 2)}
        first, numbers = _watched(viewer, seconds)
        row["first_picture_s"] = round(first - started, 2)
        row["frames_per_second"] = round(len(numbers) / seconds, 2)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(10)
    for name, value in row.items():
        print(f"{name:20s} {value}")
    row |= {"benchmark": "first_minute", "seconds": seconds, "cpus": os.cpu_count()}
    row |= {"machine": platform.machine(), "load": round(os.getloadavg()[0], 2)}
    print(json.dumps(row))


def _connected(port: int, server: subprocess.Popen[bytes]) -> socket.socket:
    while True:
        try:
            return connect(port, "/stream")
        except OSError:
            if server.poll() is not None:
                raise SystemExit("The server ended; start it by hand to see why.") from None
            time.sleep(0.02)


def _watched(viewer: socket.socket, seconds: float) -> tuple[float, set[int]]:
    """(time of the first rendered picture, frame numbers received in the `seconds` after it)."""
    reader, first, numbers = StreamReader(), 0.0, set[int]()
    viewer.settimeout(60)
    with viewer:
        while not first or time.monotonic() < first + seconds:
            data = viewer.recv(1 << 16)
            if not data:
                raise SystemExit("The stream ended.")
            reader.take(memoryview(data))
            painted = {number for number, _, _ in reader.frames if number > 0}
            reader.frames.clear()
            if painted and not first:
                first = time.monotonic()
            elif first:
                numbers |= painted
    return first, numbers


if __name__ == "__main__":
    main(*(float(argument) for argument in sys.argv[1:2]))
