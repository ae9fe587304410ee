"""How one client that floods the server affects the others: `python -m benchmarks.floods`.

Ten strict viewers watch, first without a flood and then during each one; meanwhile /healthz is
requested repeatedly, and at the end the server gets SIGTERM while the flood continues. Prints a
table, then one JSON line; --save writes the line to benchmarks/results/. --code measures the server
of another checkout. The server has one core, viewers and floods the other.
"""

from __future__ import annotations

import argparse
import json
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.report import emit, machine
from benchmarks.server_process import DIRECTLY, free_port, on_cpu

ROOT = Path(__file__).resolve().parent.parent
VIEWERS, FPS, BYTES, BUSY_MS = 10, 30.0, 30_000, 2.0
WARM_S = 1.5
CONNECTIONS = 4  # of each flood
EXIT_S = 25.0  # the server is killed if it has not ended by then

OWNER, STRANGER = b"Host: localhost\r\n", b"Host: stranger.example\r\n"
CHUNKED = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Flood:
    """`opening` is sent once on each connection, then `more` for as long as it is accepted."""

    opening: bytes = b""
    more: bytes = b""
    connections: int = CONNECTIONS
    reads: bool = True
    pause_s: float = 0.0  # after each byte; 0: not byte by byte


def get(path: bytes, host: bytes, method: bytes = b"GET") -> bytes:
    return method + b" " + path + b" HTTP/1.1\r\n" + host + b"\r\n"


def post(path: bytes, host: bytes) -> bytes:
    return b"POST " + path + b" HTTP/1.1\r\n" + host + CHUNKED


FLOODS = {
    "raw bytes in a query": Flood(more=get(b"/?\x80", STRANGER) * 400),
    "chunks of one byte": Flood(post(b"/prompt", STRANGER), b"1\r\nx\r\n" * 4000),
    "chunks to /login": Flood(post(b"/login", STRANGER), b"1\r\nx\r\n" * 4000),
    "chunks to GET /stream": Flood(
        b"GET /stream HTTP/1.1\r\n" + OWNER + CHUNKED, b"1\r\nx\r\n" * 4000
    ),
    "extensions": Flood(post(b"/login", STRANGER), (b"1;" + b"e" * 900 + b"\r\nx\r\n") * 30),
    "trailers": Flood(post(b"/login", STRANGER) + b"0\r\n", b"X-More: trailer\r\n" * 2000),
    "owner's pipeline": Flood(more=get(b"/healthz", OWNER) * 400),
    "owner's HEADs": Flood(more=get(b"/", OWNER, b"HEAD") * 400),
    "stranger's pipeline": Flood(more=get(b"/status", STRANGER) * 400),
    "heads byte by byte": Flood(more=b"GET / HTTP/1.1\r\nX: " + b"y" * 4000, pause_s=1e-5),
    "nobody reads": Flood(more=get(b"/", OWNER) * 400, reads=False, connections=50),
    "expectations": Flood(
        more=(b"POST /login HTTP/1.1\r\n" + STRANGER + b"Expect: 100-continue\r\n"
              b"Content-Length: 2\r\nContent-Type: application/json\r\n\r\n{}") * 200
    ),
    "opened and closed": Flood(),
    "streams opened and closed": Flood(opening=get(b"/stream", OWNER)),
    "one byte in many places": Flood(opening=b"G", connections=900),
}  # fmt: skip


def pour(flood: Flood, port: int) -> None:
    """Open one connection after another, until the process is killed."""
    while True:
        if flood.connections > 100:
            time.sleep(0.02)  # this many threads would otherwise take the server's CPU time
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(flood.opening)
            if flood.connections > 100:
                connection.settimeout(None)
                connection.recv(1)
            elif not flood.more:
                if flood.opening:
                    connection.recv(1000)
            elif flood.pause_s:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for byte in flood.more:
                    connection.send(bytes([byte]))
                    time.sleep(flood.pause_s)
            else:
                _keep_sending(connection, flood)


def _keep_sending(connection: socket.socket, flood: Flood) -> None:
    connection.setblocking(False)
    rest = memoryview(flood.more)
    reading = [connection] if flood.reads else []
    while True:
        readable, writable, _ = select.select(reading, [connection], [], 5)
        if readable and not connection.recv(1 << 16):
            return
        if writable:
            rest = rest[connection.send(rest) :] or memoryview(flood.more)


def run_flood(name: str, port: int) -> None:
    flood = FLOODS[name]
    for _ in range(flood.connections):
        threading.Thread(target=pour, args=(flood, port), daemon=True).start()
    threading.Event().wait()


@dataclass
class Row:
    flood: str
    slowest_health_s: float = 0.0
    health_failures: int = 0  # refused, reset or timed out
    fps: float = 0.0  # of the slowest viewer
    share: float = 0.0  # relative to the rate without a flood
    term_s: float = 0.0


def health_s(port: int) -> tuple[bool, float]:
    """(True if healthy, seconds until the answer or the failure)."""
    started = time.monotonic()
    try:
        DIRECTLY.open(f"http://127.0.0.1:{port}/healthz", timeout=30).read()
    except OSError:
        return False, time.monotonic() - started
    return True, time.monotonic() - started


def wait_until_healthy(port: int) -> None:
    deadline = time.monotonic() + 60
    while not health_s(port)[0]:
        if time.monotonic() > deadline:
            raise SystemExit("the server does not start")
        time.sleep(0.1)


def measure(name: str, code: Path, seconds: float) -> Row:
    row, port = Row(name or "none"), free_port()
    serve = [sys.executable, "-m", "benchmarks.servers", "ours", str(port), str(VIEWERS + 10)]
    command = on_cpu(0, [*serve, str(FPS), str(BYTES), str(BUSY_MS)])
    server = subprocess.Popen(command, cwd=code, stderr=subprocess.DEVNULL)
    others: list[subprocess.Popen[bytes]] = []
    try:
        wait_until_healthy(port)
        arguments = [str(port), str(VIEWERS), str(WARM_S), str(seconds)]
        viewers = subprocess.Popen(
            on_cpu(1, [sys.executable, "-m", "benchmarks.viewers", *arguments]),
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        others.append(viewers)
        time.sleep(0.5)
        if name:
            flooding = [sys.executable, "-m", "benchmarks.floods", "--flood", name]
            others.append(subprocess.Popen(on_cpu(1, [*flooding, "--port", str(port)]), cwd=ROOT))
        ask_until(time.monotonic() + WARM_S + seconds - 0.5, port, row)
        found = json.loads(viewers.communicate(timeout=60)[0])
        row.fps = min(found["rates"], default=0.0) if len(found["rates"]) == VIEWERS else 0.0
        row.term_s = end_s(server)
    finally:
        for process in (*others, server):
            process.kill()
            process.wait()
    return row


def ask_until(end: float, port: int, row: Row) -> None:
    while time.monotonic() < end:
        healthy, took_s = health_s(port)
        row.health_failures += not healthy
        row.slowest_health_s = max(row.slowest_health_s, took_s)
        time.sleep(0.05)


def end_s(server: subprocess.Popen[bytes]) -> float:
    started = time.monotonic()
    server.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        server.wait(EXIT_S)
    return time.monotonic() - started


def table(rows: list[Row]) -> str:
    head = "flood                      | /healthz s  failed | frames/s  share | SIGTERM s"
    return "\n".join(
        [
            head,
            "-" * len(head),
            *(
                f"{row.flood:26} | {row.slowest_health_s:10.3f} {row.health_failures:7} "
                f"| {row.fps:8.1f} {100 * row.share:4.0f} % | {row.term_s:9.2f}"
                for row in rows
            ),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--code", type=Path, default=ROOT, help="the checkout to serve from")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--floods", default=",".join(FLOODS), help="names, separated by commas")
    parser.add_argument("--save", metavar="NAME", help="write the line to benchmarks/results/")
    parser.add_argument("--flood", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.flood:
        run_flood(given.flood, given.port)
    measured: Callable[[str], Row] = lambda name: measure(name, given.code, given.seconds)  # noqa: E731
    rows = [measured("")]
    for name in given.floods.split(","):
        rows.append(measured(name))
        print(table(rows).splitlines()[-1], file=sys.stderr, flush=True)
    for row in rows:
        row.share = row.fps / rows[0].fps if rows[0].fps else 0.0
    print(table(rows))
    result: dict[str, object] = {
        "benchmark": "floods",
        **machine(),
        "seconds": given.seconds,
        "rows": [
            {k: v if isinstance(v, str) else round(v, 3) for k, v in asdict(row).items()}
            for row in rows
        ],
    }
    emit(result, given.save)


if __name__ == "__main__":
    main()
