"""Frames that a browser really shows: `python -m benchmarks.page_rate --tree . --tree ../before`.

Starts the real program and a real browser on the page at 1280x800, and counts over windows of ten
seconds how many frames the server painted, the page drew on its canvas, and were on the canvas when
the browser updated the screen. CPU cores used by the browser, the server and all other programs are
measured beside them, since on two cores they limit each other. Several source trees are measured
alternately. Prints a table and one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.browsers import BROWSERS, FRAME, Run, until
from benchmarks.report import emit, machine
from benchmarks.server_process import DIRECTLY, free_port, wait_for

SIZE = 1280, 800
WARM_UP_S = 4.0
COUNT = """(() => {
    const picture = document.getElementById('picture');
    const counts = window.counts = {drawn: 0, shown: 0};
    let last = null, asked = false;
    const update = () => {
        asked = false;
        if (picture.dataset.frame !== last) counts.shown += 1;
        last = picture.dataset.frame;
    };
    new MutationObserver(() => {
        counts.drawn += 1;
        if (!asked) requestAnimationFrame(update);
        asked = true;
    }).observe(picture, {attributeFilter: ['data-frame']});
})()"""
COLUMNS = {  # of the table: name in the JSON line, format
    "tree": "<14", "server": "6.1f", "drawn": "6.1f", "shown": "6.1f", "browser_cores": "13.2f",
    "server_cores": "12.2f", "other_cores": "11.2f", "browser_ms_per_frame": "20.1f",
    "load": "5.1f",
}  # fmt: skip


@contextmanager
def program(tree: Path, port: int, fps: int) -> Iterator[subprocess.Popen[bytes]]:
    """The program of a source tree, run by this Python, with a STATE_DIR of its own."""
    command = [sys.executable, "realtime_stream.py", "--server-port", str(port)]
    with tempfile.TemporaryDirectory() as state:
        server = subprocess.Popen(
            [*command, "--target-fps", str(fps), "--keep-scene", "no"],
            cwd=tree,
            env={**os.environ, "STATE_DIR": state},
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(port, server)
            yield server
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)


def newest_frame(port: int) -> int:
    with DIRECTLY.open(f"http://127.0.0.1:{port}/status", timeout=10) as answer:
        return int(json.load(answer)["frame"])


def cpu_of(processes: list[psutil.Process]) -> float:
    """Seconds used so far; a process that has ended meanwhile counts as 0."""
    total = 0.0
    for process in processes:
        try:
            total += sum(process.cpu_times()[:2])
        except psutil.NoSuchProcess:
            continue
    return total


def browsers_own(server: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The browser's processes: this one's children, without the server and Playwright's driver."""
    children = psutil.Process().children(recursive=True)
    return [it for it in children if it.pid != server.pid and it.name() != "node"]


def busy_s() -> float:
    """Seconds that the machine's cores were busy so far."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def window(run: Run, port: int, server: subprocess.Popen[bytes], seconds: float) -> dict[str, Any]:
    """What one window of `seconds` shows; rates per second, CPU in cores."""
    pages, programs = browsers_own(server), [psutil.Process(server.pid)]

    def now() -> tuple[float, ...]:
        counts = run("({...window.counts})")
        used = cpu_of(pages), cpu_of(programs), busy_s()
        return time.monotonic(), newest_frame(port), counts["drawn"], counts["shown"], *used

    before = now()
    time.sleep(seconds)
    passed, painted, drawn, shown, browser_s, server_s, all_s = (
        after - start for after, start in zip(now(), before, strict=True)
    )
    return {
        "server": painted / passed,
        "drawn": drawn / passed,
        "shown": shown / passed,
        "browser_cores": browser_s / passed,
        "server_cores": server_s / passed,
        "other_cores": (all_s - browser_s - server_s) / passed,
        "browser_ms_per_frame": browser_s / max(drawn, 1) * 1000,
        "load": os.getloadavg()[0],
    }


def measure(tree: Path, given: argparse.Namespace) -> list[dict[str, Any]]:
    port = free_port()
    opened = BROWSERS[given.browser](SIZE)
    with program(tree, port, given.target_fps) as server, opened as (open_page, run):
        open_page(f"http://localhost:{port}/")
        until(run, f"{FRAME} > 0", 120.0)
        time.sleep(WARM_UP_S)
        run(COUNT)
        return [window(run, port, server, given.seconds) for _ in range(given.windows)]


def line(row: dict[str, Any]) -> str:
    return "  ".join(f"{row[name]:{form}}" for name, form in COLUMNS.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tree", type=Path, action="append", help="a checkout; default: this one")
    parser.add_argument("--browser", choices=BROWSERS, default="chromium")
    parser.add_argument("--target-fps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3, help="starts of each tree, alternating")
    parser.add_argument("--windows", type=int, default=2, help="measured after each start")
    parser.add_argument("--seconds", type=float, default=10.0, help="of one window")
    parser.add_argument("--save", metavar="NAME", help="write the line to benchmarks/results/")
    given = parser.parse_args()
    trees = [tree.resolve() for tree in given.tree or [Path()]]
    names = [tree.name for tree in trees]
    print("  ".join(f"{name:{form.split('.')[0]}}" for name, form in COLUMNS.items()))
    rows = []
    for _ in range(given.rounds):
        for name, tree in zip(names, trees, strict=True):
            for row in measure(tree, given):
                rows.append({"tree": name, **row})
                print(line(rows[-1]), flush=True)
    print("medians")
    medians = []
    for name in names:
        own = [row for row in rows if row["tree"] == name]
        middle = {key: statistics.median(row[key] for row in own) for key in list(COLUMNS)[1:]}
        medians.append({"tree": name, **middle})
        print(line(medians[-1]))
    settings = {**vars(given), "tree": names}
    result = {"benchmark": "page_rate", **machine(), "given": settings}
    emit({**result, "medians": medians, "rows": rows}, given.save)


if __name__ == "__main__":
    main()
