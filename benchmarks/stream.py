"""What a viewer costs, and what is left for the others: `make bench-stream`.

A producer at a given rate and size and N strict viewers in processes of their own, for this
program's server and for what one would pick instead, in the same run. The server, producer
included, has one core and the viewers the other. Prints a table, then one JSON line; --save keeps
the line in benchmarks/results/.

--engine measures what viewers cost the frames: the real program with the demo model, as fast as it
goes, on that one core, which it fills without any viewer. What is lost is held against one viewer
alone, right before and right after.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

# Every server here is on this machine: no proxy of the environment is asked for it.
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
RESULTS = Path(__file__).parent / "results"
SERVERS = ("epoll", "ours", "flask", "gunicorn", "waitress")
WARM_S = 2.0
BEARABLE_PERCENT = 5.0  # of its frames that the engine may lose to its viewers


@dataclass
class Row:
    """One server with one number of viewers. Rates in frames a second a viewer."""

    server: str
    viewers: int
    fps_min: float = 0.0
    fps_p5: float = 0.0
    fps_median: float = 0.0
    age_p50_ms: float = 0.0
    age_p99_ms: float = 0.0
    produced_fps: float = 0.0
    lost_percent: float = 0.0  # of the frames that the producer should have made
    cpu_cores: float = 0.0
    cpu_us_a_frame: float = 0.0  # of the server's CPU, a delivered frame
    rss_mb: float = 0.0
    post_p99_ms: float = 0.0
    faults: int = 0


def at(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


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
        json.dumps({"prompt": "words"}).encode(),
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
    """The command on one core, where there are two and the machine can do that."""
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cpus) < 2:
        return command
    return ["taskset", "--cpu-list", str(cpus[cpu % len(cpus)]), *command]


@contextmanager
def serving(
    command: list[str], port: int, stderr: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The server that `command` starts, on the first core."""
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


def watch(server: subprocess.Popen[bytes], port: int, row: Row, seconds: float) -> Row:
    """Let strict viewers on the second core watch for so long, and fill in `row`."""
    watching = [str(port), str(row.viewers), str(WARM_S), str(seconds)]
    viewers = subprocess.Popen(
        on_cpu(1, [sys.executable, "-m", "benchmarks.viewers", *watching]), stdout=subprocess.PIPE
    )
    time.sleep(WARM_S + 0.5)
    processes, posts = family(server), []
    before, started = cpu_s(processes), time.monotonic()
    while time.monotonic() - started < seconds - 1:
        posts.append(post_ms(port))
        time.sleep(0.05)
    cores = (cpu_s(processes) - before) / (time.monotonic() - started)
    row.rss_mb = sum(process.memory_info().rss for process in processes) / 1e6
    found: dict[str, Any] = json.loads(viewers.communicate(timeout=60 + seconds)[0])
    rates = found["rates"]
    row.fps_min, row.fps_p5, row.fps_median = at(rates, 0), at(rates, 0.05), at(rates, 0.5)
    row.age_p50_ms, row.age_p99_ms = at(found["ages_ms"], 0.5), at(found["ages_ms"], 0.99)
    row.produced_fps, row.faults = found["produced"], len(found["faults"])
    row.cpu_cores = cores
    row.cpu_us_a_frame = cores / max(1e-9, sum(rates)) * 1e6
    row.post_p99_ms = at(posts, 0.99)
    return row


def of_server(name: str, viewers: int, given: argparse.Namespace) -> Row:
    """One server beside a producer that keeps a given pace."""
    row, port = Row(name, viewers), free_port()
    command = [sys.executable, "-m", "benchmarks.peers", name, str(port)]
    command += [str(viewers), str(given.fps), str(given.bytes), str(given.busy_ms)]
    try:
        with serving(command, port) as server:
            time.sleep(0.5)
            watch(server, port, row, given.seconds)
            row.lost_percent = max(0.0, 100 * (1 - row.produced_fps / given.fps))
    except (OSError, subprocess.TimeoutExpired, psutil.Error) as error:
        row.faults = -1
        print(f"{name} with {viewers}: {error}", file=sys.stderr)
    return row


def of_engine(counts: list[int], seconds: float) -> Iterator[Row]:
    """The real engine, with more and more viewers, and one alone between."""
    port = free_port()
    command = [sys.executable, "realtime_stream.py", "--server-port", str(port)]
    command += ["--target-fps", "1000", "--model-id", "demo", "--device", "cpu"]
    command += ["--max-viewers", str(max(counts) + 1), "--keep-scene", "no"]
    with serving(command, port, subprocess.DEVNULL) as server:  # its log has two lines a viewer
        wait_until_healthy(port)
        before = watch(server, port, Row("engine", 1), seconds)
        yield before
        for viewers in counts:
            row = watch(server, port, Row("engine", viewers), seconds)
            after = watch(server, port, Row("engine", 1), seconds)
            alone = (before.produced_fps + after.produced_fps) / 2
            row.lost_percent = 100 * (1 - row.produced_fps / alone)
            before = after
            yield row


def wait_until_healthy(port: int, timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            DIRECTLY.open(f"http://127.0.0.1:{port}/healthz", timeout=5).close()
            return
        except urllib.error.HTTPError:
            time.sleep(0.2)
    raise SystemExit("no frame was painted")


def viewers_at(percent: float, rows: list[Row]) -> int | None:
    """How many viewers cost the engine so much of its frames, between the steps that were tried;
    None where it was less with all of them."""
    for before, row in pairwise(rows):
        if row.lost_percent >= percent:
            share = (percent - before.lost_percent) / (row.lost_percent - before.lost_percent)
            return round(before.viewers + share * (row.viewers - before.viewers))
    return None


def table(rows: list[Row]) -> str:
    head = (
        "server    viewers |  fps/viewer min    p5   med | age ms p50    p99 | made fps lost % "
        "| cores  us/frame |  RSS MB | POST p99 ms | faults"
    )
    lines = [head, "-" * len(head)]
    lines += [
        f"{row.server:9} {row.viewers:7} | {row.fps_min:14.1f} {row.fps_p5:5.1f} "
        f"{row.fps_median:5.1f} | {row.age_p50_ms:10.1f} {row.age_p99_ms:6.1f} "
        f"| {row.produced_fps:8.1f} {row.lost_percent:6.1f} "
        f"| {row.cpu_cores:5.2f} {row.cpu_us_a_frame:9.1f} "
        f"| {row.rss_mb:7.0f} | {row.post_p99_ms:11.1f} | {row.faults:6}"
        for row in rows
    ]
    return "\n".join(lines)


def machine() -> dict[str, object]:
    """When, on what, and how busy that was."""
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": f"{processor()}, {os.cpu_count()} CPUs",
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "gevent": importlib.metadata.version("gevent"),
    }


def processor() -> str:
    """Its name, where the system tells."""
    file = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.*)", file.read_text()) if file.exists() else None
    return named[1] if named else platform.machine()


def emit(result: dict[str, object], save: str | None) -> None:
    """The one JSON line, printed, and kept under benchmarks/results if it has a name."""
    line = json.dumps(result)
    print(line)
    if save:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{save}.json").write_text(line + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", default=",".join(SERVERS))
    parser.add_argument("--viewers", help="default: 10,100,300; with --engine more steps")
    parser.add_argument("--fps", type=float, default=60.0)
    parser.add_argument("--bytes", type=int, default=30_000)
    parser.add_argument("--busy-ms", type=float, default=2.0, help="GIL held for each frame")
    parser.add_argument("--seconds", type=float, help="a step; default: 8, with --engine 14")
    parser.add_argument("--engine", action="store_true", help="the real engine, as fast as it goes")
    parser.add_argument("--save", metavar="NAME", help="keep the JSON line in benchmarks/results/")
    given = parser.parse_args()
    steps = given.viewers or ("75,150,300,600" if given.engine else "10,100,300")
    given.seconds = given.seconds or (14.0 if given.engine else 8.0)
    counts = [int(step) for step in steps.split(",")]
    if given.engine:
        running = of_engine(counts, given.seconds)
    else:
        names = given.servers.split(",")
        running = (of_server(name, viewers, given) for viewers in counts for name in names)
    rows = []
    for row in running:
        rows.append(row)
        print(table([row]).splitlines()[-1], file=sys.stderr)
    print(table(rows))
    result: dict[str, object] = {
        "benchmark": "stream",
        **machine(),
        "given": vars(given),
        "rows": [
            {k: v if isinstance(v, str) else round(v, 2) for k, v in asdict(row).items()}
            for row in rows
        ],
    }
    if given.engine:
        found = viewers_at(BEARABLE_PERCENT, rows)
        result[f"viewers_at_{BEARABLE_PERCENT:g}_percent"] = found
        print(
            f"Viewers that cost the engine {BEARABLE_PERCENT:g} % of its frames: {found or 'more'}"
        )
    emit(result, given.save)


if __name__ == "__main__":
    main()
