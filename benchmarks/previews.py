"""What previews cost the stream, and how long they take.

`python -m benchmarks.previews [--engine demo|simulated] [--in-flight 0 1 4] [--seconds 8]`

Starts the real server with the demo model, or with the simulated engine of `benchmarks.control`,
which takes 22 ms per frame. For each number given, as many connections send `POST /preview` one
request after the other while two viewers, in another process, count distinct frames. Successive
previews have different words, as while somebody types. Prints a table and one JSON line.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import tempfile
import threading
import time
from typing import Any

from benchmarks.control import Server, watched
from benchmarks.report import emit, machine, percentile

COLOURS = ("red", "green", "blue", "yellow", "white", "orange")
SHAPES = ("circle", "star", "square", "heart", "ring", "triangle")


class Previews:
    """Requests previews over `in_flight` connections until stopped."""

    def __init__(self, port: int, in_flight: int) -> None:
        self.taken_ms: list[float] = []
        self.refused = 0
        self._port = port
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, name="previews", daemon=True)
            for _ in range(in_flight)
        ]

    def __enter__(self) -> Previews:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(15)

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=15)
        headers = {"Content-Type": "application/json"}
        words = [f"a {colour} {shape}" for colour, shape in itertools.product(COLOURS, SHAPES)]
        for seed, prompt in enumerate(itertools.cycle(words)):
            if self._stopping.is_set():
                break
            body = json.dumps({"prompt": prompt, "seed": seed})
            began = time.perf_counter()
            connection.request("POST", "/preview", body, headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                self.taken_ms.append((time.perf_counter() - began) * 1000)
            else:
                self.refused += 1
        connection.close()


def measure(server: Server, in_flight: int, seconds: float) -> dict[str, Any]:
    with Previews(server.port, in_flight) as previews:
        found, lasted_s = watched(server.port, seconds)
    return {
        "in_flight": in_flight,
        "frames_per_second": round(min(found["rates"]), 2),
        "previews_per_second": round(len(previews.taken_ms) / lasted_s, 1),
        "preview_p50_ms": round(percentile(previews.taken_ms, 0.5), 1),
        "preview_p95_ms": round(percentile(previews.taken_ms, 0.95), 1),
        "refused": previews.refused,
        "faults": found["faults"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--engine", choices=("demo", "simulated"), default="demo")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[0, 1, 4])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--target-fps", type=float, default=30.0)
    parser.add_argument("--save", metavar="NAME", help="also write benchmarks/results/NAME.json")
    options = parser.parse_args()
    rows = []
    print("previews in flight  frames/s at viewers  previews/s  p50 ms  p95 ms")
    with (
        tempfile.TemporaryDirectory(prefix="previews-") as state_dir,
        Server(options.engine, options.target_fps, state_dir) as server,
    ):
        for in_flight in options.in_flight:
            row = measure(server, in_flight, options.seconds)
            rows.append(row)
            print(
                f"{in_flight:18d}  {row['frames_per_second']:19.2f}"
                f"  {row['previews_per_second']:10.1f}  {row['preview_p50_ms']:6.1f}"
                f"  {row['preview_p95_ms']:6.1f}",
                flush=True,
            )
    row = {"benchmark": "previews", "engine": options.engine, "target_fps": options.target_fps}
    emit({**row, "seconds": options.seconds, **machine(), "rows": rows}, options.save)


if __name__ == "__main__":
    main()
