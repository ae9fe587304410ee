"""Starts a server as a process, and sends it requests; shared by the benchmarks of the stream."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

# Every server here runs on this machine, so proxies from the environment are bypassed.
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes], timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None:
                raise SystemExit(f"the server ended with status {process.returncode}") from None
            time.sleep(0.05)
    raise SystemExit("the server does not listen")


def post_ms(port: int) -> float:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/prompt",
        json.dumps({"prompt": "a red star"}).encode(),
        {"Content-Type": "application/json"},
    )
    started = time.perf_counter()
    with DIRECTLY.open(request, timeout=30) as answer:
        answer.read()
    return (time.perf_counter() - started) * 1000


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    own = psutil.Process(process.pid)
    return [own, *own.children(recursive=True)]


def cpu_s(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def on_cpu(cpu: int, command: list[str]) -> list[str]:
    """The command pinned to one core, if there are two and the system supports it."""
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cpus) < 2:
        return command
    return ["taskset", "--cpu-list", str(cpus[cpu % len(cpus)]), *command]


@contextmanager
def serving(
    command: list[str], port: int, stderr: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the server that `command` starts, on the first core."""
    server = subprocess.Popen(on_cpu(0, command), stderr=stderr)
    try:
        wait_for(port, server)
        yield server
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def wait_until_healthy(port: int, timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            DIRECTLY.open(f"http://127.0.0.1:{port}/healthz", timeout=5).close()
            return
        except urllib.error.HTTPError:
            time.sleep(0.2)
    raise SystemExit("the server rendered no frame")
