"""Several channels of one server: frames/s of each, words to picture, and the step of a video wall.

`python -m benchmarks.channels [--random-weights] [--channels 1,8] [--target-fps 50] [--seconds 10]
[--warm-s 5] [--compiled FOLDER]`

Starts the real server with a separate state folder and the demo model, or SD-Turbo's architecture
with random weights. Each channel has a viewer that acknowledges frames, and new words twice a
second, at no fixed moment of a frame; from the answer to PATCH /scene it is known after which frame
they are shown. Then, with --wall, four channels show the quarters of the default one, and it is
counted how many frames their viewers are apart. Compiled code is used as it becomes ready: with
--compiled it is kept for the next run, whose warm-up is then long enough. Prints a table and one
JSON line; the slowest channel is given as a share of the mean.
"""

from __future__ import annotations

import argparse
import random
import threading
import time
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.controllers import Viewer, program
from benchmarks.report import emit, machine, percentile
from benchmarks.source import ask

QUARTERS = ([0, 0, 0.5, 0.5], [0.5, 0, 0.5, 0.5], [0, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5])


class Words(threading.Thread):
    """Gives one channel new words; waits_ms: from each change to its first picture."""

    def __init__(self, port: int, name: str, viewer: Viewer) -> None:
        super().__init__(name=f"words {name}")
        self.waits_ms: list[float] = []
        self._port, self._path, self._viewer = port, f"/scene?channel={name}", viewer
        self._over = threading.Event()
        self._pauses = random.Random(name)

    def run(self) -> None:
        for turn in count():
            if self._over.wait(self._pauses.uniform(0.4, 0.6)):
                return
            sent = time.perf_counter()
            words = f"{turn % 9 + 1} red stars"
            after = ask(self._port, "PATCH", self._path, {"prompt": words, "fade_s": 0})["frame"]
            self.waits_ms.append((self._viewer.first_after(after)[0] - sent) * 1000)

    def stop(self) -> None:
        self._over.set()


def measured(port: int, channels: int, seconds: float, warm_s: float) -> dict[str, Any]:
    """A server with `channels` channels, whose further ones are made here and stay."""
    known = [one["name"] for one in ask(port, "GET", "/channels")["channels"]]
    for index in range(len(known), channels):
        known.append(f"c{index}")
        ask(port, "PUT", f"/channels/c{index}", {})
    viewers = [Viewer(port, f"?channel={name}") for name in known[:channels]]
    for viewer in viewers:
        viewer.start()
        viewer.first_after(0)
    words = [Words(port, name, one) for name, one in zip(known, viewers, strict=False)]
    for one in words:
        one.start()
    time.sleep(warm_s)
    for one in words:
        one.waits_ms.clear()
    since = time.perf_counter()
    time.sleep(seconds)
    until = time.perf_counter()
    for one in words:
        one.stop()
    for one in words:
        one.join()
    rates = [
        sum(since <= at < until for at in viewer.arrivals) / (until - since) for viewer in viewers
    ]
    waits = [wait for one in words for wait in one.waits_ms]
    for viewer in viewers:
        viewer.stop()
    return {
        "channels": channels,
        "frames_per_second": round(sum(rates), 1),
        "slowest": round(min(rates), 1),
        "slowest_over_mean": round(min(rates) * len(rates) / sum(rates), 3),
        "words_p50_ms": round(percentile(waits, 0.5), 1),
        "words_p95_ms": round(percentile(waits, 0.95), 1),
    }


def wall(port: int, seconds: float, warm_s: float) -> dict[str, Any]:
    """How many frames four viewers of a video wall are apart, looked at every 5 ms."""
    default = ask(port, "GET", "/channels")["channels"][0]["name"]
    viewers = []
    for index, crop in enumerate(QUARTERS):
        follows = {"channel": default, "crop": crop}
        ask(port, "PUT", f"/channels/wall{index}", {"follows": follows})
        viewers.append(Viewer(port, f"?channel=wall{index}"))
        viewers[-1].start()
        viewers[-1].first_after(0)
    time.sleep(warm_s)
    apart: list[int] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        newest = [viewer.newest() for viewer in viewers]
        apart.append(max(newest) - min(newest))
        time.sleep(0.005)
    for viewer in viewers:
        viewer.stop()
    return {
        "wall_most_apart": max(apart),
        "wall_in_step": round(sum(one == 0 for one in apart) / len(apart), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--random-weights", action="store_true", help="SD-Turbo's architecture")
    parser.add_argument("--channels", default="1,8", help="numbers of channels, rising")
    parser.add_argument("--target-fps", type=float, default=50.0, help="of each channel")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--warm-s", type=float, default=5.0, help="before each, not counted")
    parser.add_argument("--compiled", type=Path, help="a folder for compiled code")
    parser.add_argument("--wall", action="store_true", help="a video wall of four too")
    parser.add_argument("--save", help="a name in benchmarks/results")
    options = parser.parse_args()
    rows, parts = [], {}
    started = program(options.target_fps, options.random_weights, compiled=options.compiled)
    with started as port:
        for channels in map(int, options.channels.split(",")):
            rows.append(measured(port, channels, options.seconds, options.warm_s))
            print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
            choices = ask(port, "GET", "/status")["engine"]["choices"]
        if options.wall:
            parts = wall(port, options.seconds, options.warm_s)
            print("  ".join(f"{name} {value}" for name, value in parts.items()), flush=True)
    given = {"target_fps": options.target_fps, "random_weights": options.random_weights}
    found = {"rows": rows, **parts, "choices": choices}
    emit({"benchmark": "channels", **given, **found, **machine()}, options.save)


if __name__ == "__main__":
    main()
