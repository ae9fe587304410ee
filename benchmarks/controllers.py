"""From a controller's change to the picture that shows it: over the WebSocket, and over HTTP.

`python -m benchmarks.controllers [--random-weights] [--changes 200] [--target-fps 30]`

Starts the real server with a separate state folder and the demo model, or SD-Turbo's architecture
with random weights. One viewer reads /stream and acknowledges each frame, as the page does. Changes
of the brightness, without a fade, are sent one after another at random moments, in turn over
/control and with PATCH /parameters; each answer says after which frame the change is shown, and the
next frame that arrives is the first changed one. Before that a change to black is checked in the
pixels. Prints a table and one JSON line: p50 and p95 in ms for both ways, beside the time of a
frame at the viewer; the target is 5 ms more than that time.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

from PIL import Image, ImageStat
from websockets.sync.client import connect

from benchmarks.report import emit, machine, percentile
from benchmarks.server_process import free_port

ROOT = Path(__file__).resolve().parent.parent
WARM_UP = 10  # changes of each kind that are not counted
SCRIPT_TYPE = "application/octet-stream"  # asked for by a viewer that acknowledges
PATIENCE_S = 60.0
START_S = 300.0
LAST_LINES = 100  # of the log of a server that ended by itself
DARK = 8  # mean of a picture's values; of the one before it, BRIGHT
BRIGHT = 24
Change = Callable[[float], int]


def serve(port: int, target_fps: float) -> int:
    """Run the real program with random weights."""
    import realtime_stream
    from benchmarks import models
    from turbostream.engine import weights
    from turbostream.engine.device import hardware
    from turbostream.engine.opening import warm_up
    from turbostream.settings import Settings
    from turbostream.stream.engine_api import Engine, Report
    from turbostream.web.auth.tokens import Tokens

    settings = Settings(
        target_fps=target_fps,
        initial_prompt="three yellow stars on a night sky",
        model_id="demo",
        server_port=port,
        acceleration=os.environ.get("ACCELERATION", "auto"),
        jpeg_quality=20,  # pictures of noise are large; so they have about the size of a model's
        state_dir=Path(os.environ["STATE_DIR"]),
    )

    def open_engine(report: Report, **given: Any) -> Engine:
        """given: what gives the pixels of sources."""
        device = hardware.choose("auto")
        choices = {"device": device.name, "decoder": "full: a benchmark", "attention": "sdpa"}
        pipe = models.load(None, device)
        return warm_up(pipe, None, device, "random", choices, settings, report, **given)

    found = weights.Weights(model_id="random", folder=None, demo=True)
    return realtime_stream.serve(settings, found, open_engine, Tokens.for_this_run(), False)


class Viewer(threading.Thread):
    """Reads /stream; `first_after` waits for a frame. Times are `time.perf_counter()`, in s."""

    def __init__(self, port: int, query: str = "") -> None:
        super().__init__(name="viewer", daemon=True)
        self._path = f"/stream{query}"
        self._over = False
        self.arrivals: list[float] = []
        self._connection, self._acknowledging = (
            http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S) for _ in range(2)
        )
        self._frames: dict[int, tuple[float, bytes]] = {}
        self._came = threading.Condition()

    def run(self) -> None:
        try:
            self._read()
        except OSError:
            if not self._over:  # else the server ended before the next frame
                raise

    def _read(self) -> None:
        self._connection.request("GET", self._path, headers={"Accept": SCRIPT_TYPE})
        answer = self._connection.getresponse()
        shown = f"/stream/{answer.headers['X-Stream-Id']}/shown"
        while line := answer.readline():
            if not line.startswith(b"Content-Length: "):
                continue
            length, number = int(line.split()[1]), 0
            while (line := answer.readline()) not in (b"\r\n", b""):
                if line.startswith(b"X-Frame-Id: "):
                    number = int(line.split()[1])
            jpeg = answer.read(length)
            with self._came:
                self.arrivals.append(time.perf_counter())
                self._frames[number] = self.arrivals[-1], jpeg
                self._frames.pop(min(self._frames) if len(self._frames) > 64 else -1, None)
                self._came.notify_all()
            body, headers = json.dumps({"frame": number}), {"Content-Type": "application/json"}
            self._acknowledging.request("POST", shown, body, headers)
            self._acknowledging.getresponse().read()
            if self._over:
                self._connection.close()
                return

    def stop(self) -> None:
        """Leave after the next frame."""
        self._over = True

    def newest(self) -> int:
        """The number of the newest frame; 0 before the first."""
        with self._came:
            return max(self._frames, default=0)

    def first_after(self, number: int) -> tuple[float, bytes]:
        """(arrival, JPEG) of the first frame later than `number`."""
        with self._came:
            found: list[int] = []

            def came() -> bool:
                found[:] = sorted(one for one in self._frames if one > number)[:1]
                return bool(found)

            if not self._came.wait_for(came, PATIENCE_S):
                raise TimeoutError(f"No frame came within {PATIENCE_S:g} s.")
            return self._frames[found[0]]


def ask(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def wait_until_healthy(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            if ask(port, "/healthz")[0] == 200:
                return
        except OSError:
            pass
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise SystemExit("The server does not serve; start it by hand to see why.")


def check_pixels(viewer: Viewer, change: Change) -> dict[str, float]:
    """The mean of the picture before a change to black, and of the first one that shows it."""
    lit = change(1.0)
    before = viewer.first_after(lit)[1]
    black = viewer.first_after(change(0.0))[1]
    means = [
        ImageStat.Stat(Image.open(io.BytesIO(jpeg)).convert("L")).mean[0]
        for jpeg in (before, black)
    ]
    if means[0] < BRIGHT or means[1] > DARK:
        raise SystemExit(f"The first changed frame does not show the change: {means}.")
    return {"mean_before": round(means[0], 1), "mean_after": round(means[1], 1)}


def measure(viewer: Viewer, ways: dict[str, Change], changes: int) -> dict[str, list[float]]:
    """Milliseconds from each change to its first frame, for each way."""
    chance, values = random.Random(1), cycle(part / 100 for part in range(50, 100))
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(WARM_UP + changes):
        for name, change in ways.items():
            time.sleep(chance.uniform(0.04, 0.12))  # at no fixed moment of a frame
            sent = time.perf_counter()
            after = change(next(values))  # never the value in force, which would change nothing
            arrived = viewer.first_after(after)[0]
            if turn >= WARM_UP:
                found[name].append((arrived - sent) * 1000)
    return found


@contextmanager
def keeping_compiled(compiled: Path | None, state_dir: Path) -> Iterator[None]:
    """Give a program with this state folder the compiled code in `compiled`, and take what it adds.
    Copied, since the program refuses a folder that is a link."""
    if compiled is None:
        yield
        return
    own = state_dir / "compiled"
    if compiled.exists():
        shutil.copytree(compiled, own)
    try:
        yield
    finally:
        if own.exists():
            shutil.copytree(own, compiled, dirs_exist_ok=True)


@contextmanager
def program(
    target_fps: float, random_weights: bool, model: str = "demo", compiled: Path | None = None
) -> Iterator[int]:
    """Run the program with a state folder of its own; its port. compiled: a folder of compiled
    code, which is used and added to."""
    port = free_port()
    command = ["realtime_stream.py", "--server-port", str(port)]
    if random_weights:
        command = ["-m", "benchmarks.controllers", "--serve", str(port)]
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as state_dir,
        keeping_compiled(compiled, Path(state_dir)),
        tempfile.TemporaryFile() as log,
    ):
        process = subprocess.Popen(
            [sys.executable, *command, "--target-fps", str(target_fps)],
            cwd=ROOT,
            env={**os.environ, "STATE_DIR": state_dir, "MODEL_ID": model},
            stderr=log,
        )
        try:
            wait_until_healthy(port, process)
            yield port
        finally:
            ended = process.poll()
            process.terminate()
            process.wait(20)
            if ended is not None:
                log.seek(0)
                said = log.read().decode("utf-8", "replace").splitlines()[-LAST_LINES:]
                print(f"The server ended with status {ended}:", *said, sep="\n", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--random-weights", action="store_true")
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--target-fps", type=float, default=30.0)
    parser.add_argument("--save", help="a name in benchmarks/results")
    parser.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        raise SystemExit(serve(options.serve, options.target_fps))
    with program(options.target_fps, options.random_weights) as port:
        result = run(port, options.changes)
    result = {"benchmark": "controllers", "target_fps": options.target_fps, **result}
    emit({**result, **machine()}, options.save)


def run(port: int, changes: int) -> dict[str, Any]:
    """The numbers of one server, as a table and as a dict."""
    viewer = Viewer(port)
    viewer.start()
    http_connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)

    def by_http(brightness: float) -> int:
        body = json.dumps({"brightness": brightness, "fade_s": 0})
        headers = {"Content-Type": "application/json"}
        http_connection.request("PATCH", "/parameters", body, headers)
        return int(json.loads(http_connection.getresponse().read())["frame"])

    with connect(f"ws://127.0.0.1:{port}/control", compression=None) as controller:

        def by_socket(brightness: float) -> int:
            values = {"brightness": brightness, "fade_s": 0}
            controller.send(json.dumps({"set": values, "id": 1}))
            while "id" not in (answer := json.loads(controller.recv(PATIENCE_S))):
                pass  # a state
            return int(answer["scene"]["frame"])

        viewer.first_after(0)
        pixels = check_pixels(viewer, by_socket)
        began = len(viewer.arrivals)
        found = measure(viewer, {"websocket": by_socket, "http": by_http}, changes)
    times = viewer.arrivals[began:]
    frame_ms = (times[-1] - times[0]) / (len(times) - 1) * 1000
    status = json.loads(ask(port, "/status")[1])
    http_connection.close()
    print(f"time of a frame at the viewer: {frame_ms:.1f} ms")
    print("way        changes  p50 ms  p95 ms  p95 less a frame ms")
    rows = {}
    for name, waits in found.items():
        p50, p95 = percentile(waits, 0.5), percentile(waits, 0.95)
        rows[name] = {"changes": len(waits), "p50_ms": round(p50, 2), "p95_ms": round(p95, 2)}
        print(f"{name:9}  {len(waits):7}  {p50:6.1f}  {p95:6.1f}  {p95 - frame_ms:19.1f}")
    return {
        "frame_ms": round(frame_ms, 2),
        **rows,
        "pixels": pixels,
        "stage_ms": status["stage_ms"],
        "engine": status["engine"],
    }


if __name__ == "__main__":
    main()
