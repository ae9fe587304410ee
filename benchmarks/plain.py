"""How old the picture is at a reader that says nothing: `make bench-plain`.

curl, OpenCV, ffmpeg and mpv read the stream and report nothing, so only TCP tells the server how
far they are behind. The readers here read one part at a time through a buffer of 32 KB, as ffmpeg
does, so many times a second or so many bytes a second, directly and through a real ssh -L with a
real sshd on loopback. The age of a picture is the time from its publication to the moment when the
reader has read it. The line of the readers that are limited in bytes is narrowed by `pv` in the
tunnel, and by the pace of their reads without it.
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

from benchmarks.stream import at, emit, free_port, machine, wait_for
from benchmarks.tunnel import tunnel

READ_AHEAD = 32 * 1024  # ffmpeg's avio buffer
LINE = 400_000  # bytes a second
WIDE = "1g"  # a line that limits nothing, as pv takes it


@dataclass
class Row:
    """One reader. Ages in seconds, of the whole run and of its second half."""

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
    """Fill in `row`: read for so long, and connect again after each reset."""
    begun = time.time()
    end, numbers = begun + seconds, set()
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
                        row.ages.append((now - begun, now - stamp))
                        numbers.add(number)
                    due += 1 / reads_s if reads_s else length / bytes_s if bytes_s else 0.0
                    due = max(due, now - 0.1)  # what was waited for a picture is not made up for
                    time.sleep(max(0.0, due - time.time()))
        except (ConnectionError, TimeoutError):
            if time.time() < end:
                row.resets += 1
    ages = [age for _, age in row.ages]
    row.distinct = len(numbers)
    row.median_s, row.p95_s, row.worst_s = at(ages, 0.5), at(ages, 0.95), max(ages, default=0.0)
    row.later_p95_s = at([age for when, age in row.ages if when > seconds / 2], 0.95)


def of_size(size: int, given: argparse.Namespace) -> list[Row]:
    """All readers of pictures of this size at once, on one server."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.peers", "ours", str(port), "20", str(given.fps)]
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
    parser.add_argument("--reads", type=float, nargs="+", default=[2, 5, 10], help="a second")
    parser.add_argument("--paths", nargs="+", default=["direct", "ssh"])
    parser.add_argument("--fps", type=float, default=60.0)
    parser.add_argument("--query", default="", help="of the stream's address, as ?fps=2")
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--save", metavar="NAME", help="keep the JSON line in benchmarks/results/")
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
    facts = {"benchmark": "plain", **machine(), "given": vars(given)}
    kept = [{k: v for k, v in asdict(row).items() if k != "ages"} for row in rows]
    kept = [{k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()} for row in kept]
    emit({**facts, "rows": kept}, given.save)


if __name__ == "__main__":
    main()
