"""The cost of a viewer, for this server and for common alternatives: `make bench-stream`.

A producer of frames with a given rate and size, and N viewers that check every byte, in separate
processes. This program's server and the alternatives are measured in the same run. The server
with its producer has one core, the viewers the other. Prints a table, then one JSON line; --save
writes the line to benchmarks/results/.

--engine measures how many frames the viewers cost: the real program with the demo model, without a
frame rate limit, on one core, which it saturates even without viewers. The loss is relative to one
single viewer, measured directly before and after.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import psutil

from benchmarks.report import emit, machine, percentile
from benchmarks.server_process import (
    cpu_s,
    family,
    free_port,
    on_cpu,
    post_ms,
    serving,
    wait_until_healthy,
)

SERVERS = ("epoll", "ours", "flask", "gunicorn", "waitress")
WARM_S = 2.0
ACCEPTED_LOSS_PERCENT = 5.0  # of the engine's frames


@dataclass
class Row:
    """One server with one number of viewers. Rates in frames per second and viewer."""

    server: str
    viewers: int
    fps_min: float = 0.0
    fps_p5: float = 0.0
    fps_median: float = 0.0
    age_p50_ms: float = 0.0
    age_p99_ms: float = 0.0
    produced_fps: float = 0.0
    lost_percent: float = 0.0  # of the frames that were due
    cpu_cores: float = 0.0
    cpu_us_a_frame: float = 0.0  # the server's CPU time per delivered frame
    rss_mb: float = 0.0
    post_p99_ms: float = 0.0
    faults: int = 0


def watch(server: subprocess.Popen[bytes], port: int, row: Row, seconds: float) -> Row:
    """Run `row.viewers` viewers on the second core for `seconds`, and fill in `row`."""
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
    row.fps_min, row.fps_p5, row.fps_median = (
        percentile(rates, 0),
        percentile(rates, 0.05),
        percentile(rates, 0.5),
    )
    row.age_p50_ms, row.age_p99_ms = (
        percentile(found["ages_ms"], 0.5),
        percentile(found["ages_ms"], 0.99),
    )
    row.produced_fps, row.faults = found["produced"], len(found["faults"])
    row.cpu_cores = cores
    row.cpu_us_a_frame = cores / max(1e-9, sum(rates)) * 1e6
    row.post_p99_ms = percentile(posts, 0.99)
    return row


def of_server(name: str, viewers: int, given: argparse.Namespace) -> Row:
    """One server whose frames come at a fixed rate."""
    row, port = Row(name, viewers), free_port()
    command = [sys.executable, "-m", "benchmarks.servers", name, str(port)]
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
    """The real engine with growing numbers of viewers, and a single viewer in between."""
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


def viewers_at(percent: float, rows: list[Row]) -> int | None:
    """The number of viewers that cost the engine `percent` of its frames, interpolated between the
    measured steps; None if no step cost that much."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", default=",".join(SERVERS))
    parser.add_argument("--viewers", help="default: 10,100,300; with --engine more steps")
    parser.add_argument("--fps", type=float, default=60.0)
    parser.add_argument("--bytes", type=int, default=30_000)
    parser.add_argument(
        "--busy-ms", type=float, default=2.0, help="time per frame that the GIL is held"
    )
    parser.add_argument("--seconds", type=float, help="per step; default: 8, with --engine 14")
    parser.add_argument("--engine", action="store_true", help="the real engine at full speed")
    parser.add_argument("--save", metavar="NAME", help="write the line to benchmarks/results/")
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
        found = viewers_at(ACCEPTED_LOSS_PERCENT, rows)
        result[f"viewers_at_{ACCEPTED_LOSS_PERCENT:g}_percent"] = found
        cost = f"cost the engine {ACCEPTED_LOSS_PERCENT:g} % of its frames"
        print(f"Viewers that {cost}: {found or 'more'}")
    emit(result, given.save)


if __name__ == "__main__":
    main()
