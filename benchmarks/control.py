"""What viewers receive during continuous control, such as a slider or sequencer sends.

`python -m benchmarks.control [--engine demo|simulated] [--rates 0 5 20 60 200] [--seconds 10]`

Starts the real server with a separate state folder, and with the demo model or an engine that takes
22 ms per frame without using the CPU, as a GPU does. For each rate one connection sends that many
`PATCH /scene` requests per second while two viewers, in another process, count distinct frames.
Changes alternate between the speed, the weights of a blend and the words, each with a fade of
--fade-s seconds and another easing each round; --changes speed sends speeds without fades. Prints a
table and one JSON line: frames/s at the slowest viewer, their share of the frames/s at the last
rate of 0 (on a machine whose load varies, give 0 before each rate), how old frames are when they
arrive, and the time from a change to its first picture.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from benchmarks.report import emit, machine, percentile
from benchmarks.server_process import free_port
from benchmarks.servers import jpeg_of

ROOT = Path(__file__).resolve().parent.parent
VIEWERS = 2
WARM_S = 1.0
FRAME_S = 0.022
PICTURE_BYTES = 30_000


class Simulated:
    """An engine that takes FRAME_S per frame without using the CPU."""

    max_batch = 1
    depth = 1
    fingerprint = "simulated"
    choices: Mapping[str, str] = {}

    def __init__(self) -> None:
        self._jpeg = jpeg_of(PICTURE_BYTES)

    def submit(self, shots: Sequence[object]) -> Future[list[Any]]:
        from turbostream.stream.engine_api import Picture

        done: Future[list[Any]] = Future()
        time.sleep(FRAME_S)
        done.set_result([Picture(self._jpeg, {"denoise": FRAME_S * 1000})])
        return done

    def close(self) -> None:
        pass


def serve_simulated(port: int, target_fps: float) -> int:
    """Run the real program with a `Simulated` engine."""
    import realtime_stream
    from turbostream.engine.weights import Weights
    from turbostream.settings import Settings
    from turbostream.web.auth.tokens import Tokens

    settings = Settings(
        target_fps=target_fps,
        initial_prompt="a red circle",
        model_id="demo",
        server_port=port,
        state_dir=Path(os.environ["STATE_DIR"]),
        osc_port=int(os.environ.get("OSC_PORT", "0")),
    )
    found = Weights(model_id="demo", folder=None, demo=True)
    kept = Tokens.for_this_run()

    def open_engine(report: object, resolve: object = None) -> Simulated:
        return Simulated()

    return realtime_stream.serve(settings, found, open_engine, kept, False)


class Server:
    """The server as a process. It listens on loopback, where changes are not rate-limited."""

    def __init__(self, engine: str, target_fps: float, state_dir: str) -> None:
        self.port = free_port()
        own = [sys.executable, "-m", "benchmarks.control", "--serve", str(self.port)]
        demo = [sys.executable, "realtime_stream.py", "--server-port", str(self.port)]
        self._process = subprocess.Popen(
            [*(demo if engine == "demo" else own), "--target-fps", str(target_fps)],
            cwd=ROOT,
            env={**os.environ, "STATE_DIR": state_dir, "MODEL_ID": "demo"},
            stderr=subprocess.DEVNULL,
        )

    def __enter__(self) -> Server:
        while True:
            try:
                if self.ask("GET", "/healthz")[0] == 200:
                    return self
            except OSError:
                if self._process.poll() is not None:
                    raise SystemExit("The server ended; start it by hand to see why.") from None
            time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)

    def ask(self, method: str, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


TEXTS = [f"a {colour} {thing}" for colour in ("red", "blue", "green") for thing in
         ("star", "cat", "house", "fish")]  # fmt: skip


def mixed(number: int, fade_s: float) -> dict[str, object]:
    """The patch of change `number`: the speed, the weights of a blend, or the words."""
    kind, turn = number % 3, number // 3
    fade = {"fade_s": fade_s, "easing": ("smooth", "linear", "even")[turn % 3]}
    if kind == 0:
        return {"speed": 0.1 + turn % 100 / 100, **fade}
    if kind == 1:
        weight = turn % 21 / 20
        blend = [("a red circle", weight), ("a blue square", 1 - weight), ("a yellow star", 0.5)]
        return {"prompts": [{"text": text, "weight": share} for text, share in blend], **fade}
    return {"prompt": TEXTS[turn % len(TEXTS)], **fade}


def speeds(number: int, fade_s: float) -> dict[str, object]:
    """The patch of change `number` of a slider."""
    return {"speed": 0.1 + number % 100 / 100}


CHANGES = {"mixed": mixed, "speed": speeds}


class Control:
    """Sends `patch(number)` `rate` times per second over one connection until stopped."""

    def __init__(self, port: int, rate: float, patch: Callable[[int], dict[str, object]]) -> None:
        self.sent = 0
        self.refused = 0
        self._port, self._rate, self._patch = port, rate, patch
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)

    def __enter__(self) -> Control:
        if self._rate:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        if self._rate:
            self._thread.join(10)

    def _run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            due = max(due + 1 / self._rate, time.monotonic() - 0.1)
            connection.request(
                "PATCH",
                "/scene",
                json.dumps(self._patch(self.sent)),
                {"Content-Type": "application/json"},
            )
            answer = connection.getresponse()
            answer.read()
            self.sent += 1
            self.refused += answer.status != 200
        connection.close()


def watched(port: int, seconds: float) -> tuple[dict[str, Any], float]:
    """(what viewers in another process received within `seconds`, seconds that this took)."""
    arguments = [str(port), str(VIEWERS), str(WARM_S), str(seconds)]
    began = time.monotonic()
    viewers = subprocess.run(
        [sys.executable, "-m", "benchmarks.viewers", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(viewers.stdout), time.monotonic() - began


def measure(
    server: Server, rate: float, seconds: float, patch: Callable[[int], dict[str, object]]
) -> dict[str, Any]:
    with Control(server.port, rate, patch) as control:
        found, lasted_s = watched(server.port, seconds)
    status = json.loads(server.ask("GET", "/status")[1])
    return {
        "changes_asked": rate,
        "changes_per_second": round(control.sent / lasted_s, 1),
        "refused": control.refused,
        "frames_per_second": round(min(found["rates"]), 2),
        "age_p95_ms": percentile(found["ages_ms"], 0.95),
        "age_max_ms": max(found["ages_ms"], default=0.0),
        "painted_per_second": status["fps"],
        "change_to_picture_ms": status["prompt_to_picture_ms"],
        "faults": found["faults"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--engine", choices=("demo", "simulated"), default="demo")
    parser.add_argument("--rates", type=float, nargs="+", default=[0, 5, 20, 60, 200])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--target-fps", type=float, default=30.0)
    parser.add_argument("--changes", choices=CHANGES, default="mixed")
    parser.add_argument("--fade-s", type=float, default=2.0)
    parser.add_argument("--save", help="a name in benchmarks/results")
    parser.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        raise SystemExit(serve_simulated(options.serve, options.target_fps))

    def patch(number: int) -> dict[str, object]:
        return CHANGES[options.changes](number, options.fade_s)

    rows: list[dict[str, Any]] = []
    rest = 0.0  # frames/s without changes
    print(
        "changes/s (target)  changes/s  frames/s at viewers  share  age p95 ms  max  painted/s  "
        "change to picture p50 ms  p95"
    )
    with (
        tempfile.TemporaryDirectory(prefix="control-") as state_dir,
        Server(options.engine, options.target_fps, state_dir) as server,
    ):
        for rate in options.rates:
            row = measure(server, rate, options.seconds, patch)
            rows.append(row)
            if not rate or len(rows) == 1:
                rest = row["frames_per_second"]
            row["share"] = round(row["frames_per_second"] / rest, 3) if rest else 0.0
            times = row["change_to_picture_ms"]
            print(
                f"{rate:18g}  {row['changes_per_second']:9.1f}  {row['frames_per_second']:19.2f}"
                f"  {row['share']:5.0%}  {row['age_p95_ms']:10.1f} {row['age_max_ms']:4.0f}"
                f"  {row['painted_per_second']:9.1f}  {times['p50'] or 0:24.1f}"
                f"  {times['p95'] or 0:3.0f}",
                flush=True,
            )
    result = {"benchmark": "control", "engine": options.engine, "target_fps": options.target_fps}
    result |= {"changes": options.changes, "fade_s": options.fade_s, "seconds": options.seconds}
    emit({**result, "rows": rows, **machine()}, options.save)


if __name__ == "__main__":
    main()
