"""The page in real browsers, Chromium and Firefox: `python -m benchmarks.browsers`.

Measures the seconds until the first picture, the age of pictures when they are displayed at 2
frames per second, the browser's memory over a minute at 60 frames per second, and the seconds until
pictures arrive again after the server was killed and restarted. Prints a table and one JSON line.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.chromium_driver import chromium
from benchmarks.firefox_driver import firefox
from benchmarks.report import emit, machine, percentile
from benchmarks.server_process import free_port, wait_for, wait_until_healthy

PICTURE = "document.getElementById('picture')"
FRAME = f"Number({PICTURE}.dataset.frame ?? 0)"
FIRST_MS = f"""new Promise((done) => {{
    const look = () => {FRAME} > 0 ? done(performance.now()) : setTimeout(look, 2);
    look();
}})"""
AGES_MS = f"""new Promise((done) => {{
    const ages = [];
    const seen = new MutationObserver(() => {{
        ages.push(Date.now() - 1000 * {PICTURE}.dataset.timestamp);
        if (ages.length === 20) {{ seen.disconnect(); done(ages); }}
    }});
    seen.observe({PICTURE}, {{attributeFilter: ['data-frame']}});
}})"""

Run = Callable[[str], Any]  # evaluates JavaScript in the page
Open = Callable[[str], object]
Size = tuple[int, int]  # of the page, in CSS pixels; None below: the browser's own


@contextmanager
def in_chromium(size: Size | None = None) -> Iterator[tuple[Open, Run]]:
    with chromium() as page:
        if size is not None:
            page.set_viewport_size({"width": size[0], "height": size[1]})
        yield (
            lambda url: page.goto(url, wait_until="domcontentloaded"),
            lambda code: page.evaluate(f"async () => await ({code})"),
        )


@contextmanager
def in_firefox(size: Size | None = None) -> Iterator[tuple[Open, Run]]:
    with tempfile.TemporaryDirectory() as profile, firefox(Path(profile)) as window:
        if size is not None:
            window.resize(*size)
        yield lambda url: window.open(url, "interactive"), window.run


BROWSERS: dict[str, Callable[..., AbstractContextManager[tuple[Open, Run]]]] = {
    "chromium": in_chromium,
    "firefox": in_firefox,
}


@contextmanager
def serving(port: int, fps: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "benchmarks.servers", "ours", str(port), "8", str(fps)]
    server = subprocess.Popen([*command, "30000", "2"])
    try:
        wait_for(port, server)
        wait_until_healthy(port)
        yield server
    finally:
        server.kill()
        server.wait()


def until(run: Run, code: str, limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while not run(code):
        if time.monotonic() > deadline:
            raise SystemExit(f"{code} did not become true")
        time.sleep(0.01)


def memory_mb(server: subprocess.Popen[bytes]) -> float:
    """Memory of all the browser's processes: this process's children without the server."""
    total = 0.0
    for process in psutil.Process().children(recursive=True):
        if process.pid != server.pid:
            total += process.memory_full_info().pss / 1e6
    return total


def measure(name: str, seconds: float) -> dict[str, object]:
    port = free_port()
    url = f"http://localhost:{port}/"
    with BROWSERS[name]() as (open_page, run):
        with serving(port, 60) as server:
            open_page(url)
            first_s = run(FIRST_MS) / 1000
            time.sleep(10)  # cache warm-up
            before = memory_mb(server)
            time.sleep(seconds)
            grown = memory_mb(server) - before
        with serving(port, 2):
            until(run, f"{FRAME} > 0 && document.getElementById('notice').hidden")
            ages = run(AGES_MS)
        left, started = run(FRAME), time.monotonic()
        with serving(port, 60):
            served = time.monotonic()
            until(run, f"{FRAME} > 0 && {FRAME} !== {left}")
            back = time.monotonic()
    return {
        "browser": name,
        "first_picture_s": round(first_s, 2),
        "age_at_2_fps_p50_ms": round(percentile(ages, 0.5), 1),
        "age_at_2_fps_worst_ms": round(max(ages), 1),
        "memory_mb": round(before),
        "memory_growth_mb": round(grown, 1),
        "server_away_s": round(served - started, 2),
        "back_after_s": round(back - served, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the memory measurement")
    parser.add_argument("--save", metavar="NAME", help="write the line to benchmarks/results/")
    given = parser.parse_args()
    rows = []
    for name in BROWSERS:
        rows.append(measure(name, given.seconds))
        print("\n".join(f"{key:22} {value}" for key, value in rows[-1].items()), "\n")
    emit({"benchmark": "browsers", **machine(), "given": vars(given), "rows": rows}, given.save)


if __name__ == "__main__":
    main()
