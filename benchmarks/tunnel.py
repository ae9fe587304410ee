"""The age of pictures through a real ssh tunnel over a slow line: `make bench-tunnel`.

A real sshd and ssh on loopback; `pv` in ssh's ProxyCommand limits the line. One reader acknowledges
frames, like the page, and one does not, like a plain <img> or curl. With --browser the page itself
in Chromium replaces both: unchanged, and with its acknowledgements blocked, so that the server
sends it every frame that the connection accepts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.chromium_driver import chromium
from benchmarks.report import emit, machine, percentile
from benchmarks.server_process import free_port, wait_for
from benchmarks.viewers import StreamReader

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"


def available() -> bool:
    return bool(Path(SSHD).exists() and shutil.which("ssh") and shutil.which("pv"))


def _until_open(port: int, processes: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + 20
    while True:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        if time.monotonic() > deadline or any(one.poll() is not None for one in processes):
            raise RuntimeError("ssh or sshd did not start")
        time.sleep(0.05)


@contextmanager
def tunnel(to_port: int, rate: str | None) -> Iterator[int]:
    """A port that ssh forwards to `to_port`; answers are limited to `rate` (pv -L) per second, if
    there is one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for key in ("host", "user"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)]
            subprocess.run(command, check=True)
        (folder / "authorized").write_text((folder / "user.pub").read_text())
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd requires it
        ssh_port, port = free_port(), free_port()
        sshd_options = {
            "ListenAddress": f"127.0.0.1:{ssh_port}",
            "HostKey": folder / "host",
            "AuthorizedKeysFile": folder / "authorized",
            "PidFile": "none",
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
        }
        config = folder / "sshd_config"
        config.write_text("".join(f"{key} {value}\n" for key, value in sshd_options.items()))
        script = folder / "line.sh"
        script.write_text(
            "#!/usr/bin/env bash\n"
            f"exec 3<>/dev/tcp/127.0.0.1/{ssh_port} 4<&0\n"
            f"cat <&4 >&3 &\nexec pv --quiet --rate-limit {rate} <&3\n"
        )
        script.chmod(0o755)
        processes: list[subprocess.Popen[bytes]] = []
        try:
            processes.append(
                subprocess.Popen([SSHD, "-D", "-f", str(config)], stderr=subprocess.DEVNULL)
            )
            _until_open(ssh_port, processes)
            options = ["-F", "none", "-i", str(folder / "user"), "-o", "IdentitiesOnly=yes"]
            options += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
            options += ["-o", "LogLevel=ERROR"]
            if rate is None:
                options += ["-p", str(ssh_port)]
            else:
                options += ["-o", f"ProxyCommand={script}"]
            forward = ["-N", "-L", f"127.0.0.1:{port}:127.0.0.1:{to_port}"]
            processes.append(
                subprocess.Popen(["ssh", *options, *forward, "localhost"], start_new_session=True)
            )
            _until_open(port, processes)
            yield port
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait(10)


class Reports:
    """Acknowledges the newest displayed frame, one request at a time, as the page does."""

    def __init__(self, port: int, stream: str) -> None:
        self._port, self._path = port, f"/stream/{stream}/shown"
        self._number = 0
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="reports", daemon=True)
        self._thread.start()

    def shown(self, number: int) -> None:
        self._number = number
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()
        self._thread.join(10)

    def _run(self) -> None:
        with socket.create_connection(("127.0.0.1", self._port), timeout=30) as connection:
            while self._wake.wait() and not self._stopping:
                self._wake.clear()
                body = json.dumps({"frame": self._number}).encode()
                connection.sendall(
                    f"POST {self._path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}"
                    "\r\nContent-Type: application/json\r\n\r\n".encode()
                    + body
                )
                answer = b""
                while b"\r\n\r\n" not in answer:
                    piece = connection.recv(4096)
                    if not piece:
                        return
                    answer += piece


def ages(
    port: int, seconds: float, reports: bool, each: Callable[[int], object] = lambda number: None
) -> list[tuple[float, float]]:
    """(seconds from the start until it was received, its age in seconds) of each frame."""
    kind = "application/octet-stream" if reports else "*/*"
    reader, started = StreamReader(), time.time()
    reporter: Reports | None = None
    with socket.create_connection(("127.0.0.1", port), timeout=30) as stream:
        stream.sendall(
            f"GET /stream HTTP/1.0\r\nHost: localhost\r\nAccept: {kind}\r\n\r\n".encode()
        )
        first = stream.recv(4096, socket.MSG_PEEK)
        while b"\r\n\r\n" not in first:
            time.sleep(0.01)
            first = stream.recv(4096, socket.MSG_PEEK)
        name = first.split(b"X-Stream-Id: ")[1].split(b"\r\n")[0].decode()
        if b"octet-stream" in first:
            boundary = first.split(b"X-Boundary: ")[1].split(b"\r\n")[0]
            reader.boundary = b"--" + boundary + b"\r\n"
        if reports:
            reporter = Reports(port, name)
        buffer = bytearray(1 << 16)
        seen = 0
        while time.time() - started < seconds:
            count = stream.recv_into(buffer)
            reader.take(memoryview(buffer)[:count])
            if len(reader.frames) > seen:
                seen = len(reader.frames)
                each(reader.frames[-1][0])
                if reporter is not None:
                    reporter.shown(reader.frames[-1][0])
    if reporter is not None:
        reporter.stop()
    return [(arrival - started, arrival - stamp) for _, stamp, arrival in reader.frames]


WATCH_AGES = """async (seconds) => {
    const picture = document.getElementById('picture');
    const found = [];
    const until = performance.now() + seconds * 1000;
    while (performance.now() < until) {
        const {frame, timestamp} = picture.dataset;
        found.push([Number(frame), Date.now() / 1000 - Number(timestamp)]);
        await new Promise((done) => setTimeout(done, 50));
    }
    return found;
}"""


def ages_on_page(port: int, seconds: float, reports: bool) -> tuple[int, list[float]]:
    """(number of frames that the page displayed, ages in seconds of the displayed frame, sampled 20
    times per second from the first picture on)."""

    def as_any_reader(route: Any) -> None:
        route.continue_(headers={**route.request.headers, "accept": "*/*"})

    with chromium() as page:
        if not reports:
            # A shared worker's requests cannot be intercepted; without one, the window sends them.
            page.add_init_script("delete window.SharedWorker")
            page.route("**/shown", lambda route: route.abort())
            page.route("**/stream", as_any_reader)
        page.goto(f"http://localhost:{port}/", wait_until="commit")
        page.wait_for_selector('#picture[data-frame]:not([data-frame="0"])')
        found = page.evaluate(WATCH_AGES, seconds)
    return len({frame for frame, _ in found}), [age for _, age in found]


def ages_read(port: int, seconds: float, reports: bool) -> tuple[int, list[float]]:
    found = [age for _, age in ages(port, seconds, reports)]
    return len(found), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", default="400k", help="of the line, in the format of pv -L")
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--browser", action="store_true", help="the page, in Chromium")
    parser.add_argument("--save", metavar="NAME", help="write the line to benchmarks/results/")
    given = parser.parse_args()
    look = ages_on_page if given.browser else ages_read
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "benchmarks.servers",
        "ours",
        str(port),
        "9",
        "60",
        "30000",
        "2",
    ]
    server = subprocess.Popen(command)
    rows = []
    try:
        wait_for(port, server)
        print(
            "reader          frames/s | age s: median     p99   worst   (60 x 30 KB, line",
            given.rate + ")",
        )
        for reports in (False, True):
            with tunnel(port, given.rate) as through:
                frames, late = look(through, given.seconds, reports)
            name, fps = "acknowledges" if reports else "silent", frames / given.seconds
            rows.append({"reader": name, "fps": fps, "median_s": percentile(late, 0.5),
                         "p99_s": percentile(late, 0.99), "worst_s": max(late)})  # fmt: skip
            print(f"{name:14} {fps:9.1f} | {percentile(late, 0.5):13.2f} "
                  f"{percentile(late, 0.99):7.2f} {max(late):7.2f}")  # fmt: skip
    finally:
        server.terminate()
        server.wait(10)
    rows = [{k: v if isinstance(v, str) else round(v, 3) for k, v in row.items()} for row in rows]
    facts = {"benchmark": "tunnel", **machine(), "given": vars(given)}
    emit({**facts, "rows": rows}, given.save)


if __name__ == "__main__":
    main()
