"""The age of pictures at readers that send no acknowledgements: `make bench-readers`.

curl, OpenCV, ffmpeg and mpv acknowledge nothing, so the server only learns from TCP how far behind
they are. The readers here read one part at a time through a buffer of 32 KB, as ffmpeg does, with a
fixed number of reads or of bytes per second, directly and through a real ssh -L with a real sshd on
loopback. The age of a picture is the time from its publication until the reader has read it. For
readers limited in bytes, `pv` limits the line in the tunnel; without a tunnel the reads are paced.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field

from benchmarks.report import emit, machine, percentile
from benchmarks.server_process import free_port, wait_for
from benchmarks.tunnel import tunnel

READ_AHEAD = 32 * 1024  # ffmpeg's avio buffer
LINE = 400_000  # bytes per second
WIDE = "1g"  # pv's rate for a line without a limit


@dataclass
class Row:
    """One reader. Ages in seconds, over the whole run and (`later`) over its second half."""

    path: str
    size: int
    pace: str
    parts: int = 0
    distinct: int = 0
    median_s: float = 0.0
    p95_s: float = 0.0
    worst_s: float = 0.0
    later_p95_s: float = 0.0
    resets: int = 0
    ages: list[tuple[float, float]] = field(default_factory=list)  # (when, age)


def read(port: int, query: str, row: Row, reads_s: float, bytes_s: float, seconds: float) -> None:
    """Fill in `row`: read for `seconds`, and reconnect after each reset."""
    started = time.time()
    end, numbers = started + seconds, set()
    while time.time() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
                ask = f"GET /stream{query} HTTP/1.0\r\nHost: localhost\r\nAccept: */*\r\n\r\n"
                connection.sendall(ask.encode())
                file = connection.makefile("rb", buffering=READ_AHEAD)
                while file.readline().strip():
                    pass
                due = time.time()
                while time.time() < end:
                    length, number, stamp = 0, 0, 0.0
                    while line := file.readline():
                        name, _, value = line.decode().strip().partition(": ")
                        if name == "Content-Length":
                            length = int(value)
                        elif name == "X-Frame-Id":
                            number = int(value)
                        elif name == "X-Timestamp":
                            stamp = float(value)
                        elif not name and length:
                            break
                    if len(file.read(length)) < length:
                        raise ConnectionResetError
                    now = time.time()
                    if number:
                        row.parts += 1
                        row.ages.append((now - started, now - stamp))
                        numbers.add(number)
                    due += 1 / reads_s if reads_s else length / bytes_s if bytes_s else 0.0
                    due = max(due, now - 0.1)  # time spent waiting for a picture is not made up
                    time.sleep(max(0.0, due - time.time()))
        except (ConnectionError, TimeoutError):
            if time.time() < end:
                row.resets += 1
    ages = [age for _, age in row.ages]
    row.distinct = len(numbers)
    row.median_s, row.p95_s, row.worst_s = (
        percentile(ages, 0.5),
        percentile(ages, 0.95),
        max(ages, default=0.0),
    )
    row.later_p95_s = percentile([age for when, age in row.ages if when > seconds / 2], 0.95)


def of_size(size: int, given: argparse.Namespace) -> list[Row]:
    """All readers of one picture size concurrently, on one server."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.servers", "ours", str(port), "20", str(given.fps)]
    server = subprocess.Popen([*command, str(size), "1"])
    rows, threads = [], []
    try:
        wait_for(port, server)
        with ExitStack() as stack:
            wide = stack.enter_context(tunnel(port, WIDE)) if "ssh" in given.paths else 0
            narrow = stack.enter_context(tunnel(port, str(LINE))) if "ssh" in given.paths else 0
            for path in given.paths:
                for reads_s in (*given.reads, 0.0):
                    pace = f"{reads_s:g} reads/s" if reads_s else f"{LINE // 1000} KB/s"
                    row = Row(path, size, pace)
                    rows.append(row)
                    to, bytes_s = port, 0.0 if reads_s else LINE
                    if path == "ssh":
                        to, bytes_s = wide if reads_s else narrow, 0.0
                    reader = (to, given.query, row, reads_s, bytes_s, given.seconds)
                    threads.append(threading.Thread(target=read, args=reader, name=pace))
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        server.terminate()
        server.wait(10)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[3000, 8000, 30_000, 60_000])
    parser.add_argument("--reads", type=float, nargs="+", default=[2, 5, 10], help="per second")
    parser.add_argument("--paths", nargs="+", default=["direct", "ssh"])
    parser.add_argument("--fps", type=float, default=60.0)
    parser.add_argument("--query", default="", help="of the stream's URL, such as ?fps=2")
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--save", metavar="NAME", help="write the line to benchmarks/results/")
    given = parser.parse_args()
    print("path     bytes  reader      | age s: median    p95  worst | later p95 "
          "| parts distinct | resets", flush=True)  # fmt: skip
    rows = []
    for size in given.sizes:
        for row in of_size(size, given):
            rows.append(row)
            print(f"{row.path:6} {row.size:7}  {row.pace:11} | {row.median_s:13.2f} "
                  f"{row.p95_s:6.2f} {row.worst_s:6.2f} | {row.later_p95_s:9.2f} "
                  f"| {row.parts:5} {row.distinct:8} | {row.resets:6}", flush=True)  # fmt: skip
    facts = {"benchmark": "silent_readers", **machine(), "given": vars(given)}
    kept = [{k: v for k, v in asdict(row).items() if k != "ages"} for row in rows]
    kept = [{k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()} for row in kept]
    emit({**facts, "rows": kept}, given.save)


if __name__ == "__main__":
    main()
