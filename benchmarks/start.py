"""The start of the program as a user sees it, stage by stage.

`python -m benchmarks.start [--runs 3] [--seconds 15] [--against FOLDER] [--random-weights]`

Starts the real server on a free port with one viewer that connects immediately, and measures the
seconds until it listens, until the first rendered picture (placeholders do not count) and until the
stages of the engine's opening are over, as the program logs them; then the distinct frames per
second. With --against, the checkout in FOLDER is started in turn with this one. --random-weights
writes a model with SD-Turbo's architecture, in float16 and with the tiny decoder, to the disk
first; --keep names the folder that it stays in. Prints a table of medians and one JSON line.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.report import emit, machine
from benchmarks.server_process import free_port
from benchmarks.viewers import StreamReader, connect

ROOT = Path(__file__).resolve().parent.parent
STAGES = re.compile(r"first picture after [\d.]+ s: (.+)")
START_S = 300.0
END_S = 30.0
Row = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0, help="of watching, in each run")
    parser.add_argument("--against", type=Path, help="a second checkout")
    parser.add_argument("--random-weights", action="store_true", help="SD-Turbo's architecture")
    parser.add_argument("--keep", type=Path, help="where to write its files; they are used again")
    parser.add_argument("--save", help="a name in benchmarks/results")
    options = parser.parse_args()
    checkouts = {"this": ROOT} | ({"other": options.against.resolve()} if options.against else {})
    rows: dict[str, list[Row]] = {name: [] for name in checkouts}
    with _model(options.random_weights, options.keep) as model:
        for run in range(options.runs):
            for name, folder in checkouts.items():
                rows[name].append(_start(folder, model, options.seconds))
                print(f"run {run + 1}, {name}: {rows[name][-1]}", file=sys.stderr)
    medians = {name: _medians(found) for name, found in rows.items()}
    stages = list(dict.fromkeys(stage for row in medians.values() for stage in row))
    print(f"{'median of ' + str(options.runs):24s}" + "".join(f"{name:>10s}" for name in medians))
    for stage in stages:
        values = (f"{row[stage]:.2f}" if stage in row else "" for row in medians.values())
        print(f"{stage:24s}" + "".join(f"{value:>10s}" for value in values))
    weights = "random, SD-Turbo's architecture" if options.random_weights else "the default model"
    emit({"benchmark": "start", "weights": weights, **medians, **machine()}, options.save)


def _medians(rows: list[Row]) -> Row:
    """Of each stage, over the runs that had it."""
    stages = dict.fromkeys(stage for row in rows for stage in row)
    return {stage: round(median(row[stage] for row in rows if stage in row), 2) for stage in stages}


@contextmanager
def _model(random: bool, keep: Path | None) -> Iterator[str | None]:
    """The MODEL_ID to start with; None for the default."""
    with tempfile.TemporaryDirectory() as made:
        folder = (keep or Path(made) / "sd-turbo").resolve()
        if random and not (folder / "model_index.json").exists():
            from benchmarks import models

            models.write(folder)
        yield str(folder) if random else None


def _start(checkout: Path, model: str | None, seconds: float) -> Row:
    """The times of one start, in s, and the frames/s after it."""
    port, started = free_port(), time.monotonic()
    command = [sys.executable, "realtime_stream.py", "--server-port", str(port)]
    environ = os.environ | {"KEEP_SCENE": "no", "PYTHONPATH": ""}
    if model is not None:
        environ |= {"MODEL_ID": model, "DECODER": "full"}
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(command, cwd=checkout, env=environ, stderr=log, stdout=log)
        try:
            viewer = _connected(port, server)
            row: Row = {"listening": time.monotonic() - started}
            first, numbers = _watched(viewer, seconds)
            row["first picture"] = first - started
            row["frames/s"] = len(numbers) / seconds
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(END_S)
        log.seek(0)
        logged = STAGES.search(log.read().decode("utf-8", "replace"))
    for stage in logged[1].split(", ") if logged else ():
        name, _, spent = stage.rpartition(" ")
        row[f"  {name}"] = float(spent)
    return {stage: round(value, 2) for stage, value in row.items()}


def _connected(port: int, server: subprocess.Popen[bytes]) -> socket.socket:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            return connect(port, "/stream")
        except OSError:
            if server.poll() is not None:
                raise SystemExit("The server ended; start it by hand to see why.") from None
            time.sleep(0.02)
    raise SystemExit(f"The server did not listen within {START_S:g} s.")


def _watched(viewer: socket.socket, seconds: float) -> tuple[float, set[int]]:
    """(time of the first rendered picture, frame numbers received in the `seconds` after it)."""
    reader, first, numbers = StreamReader(), 0.0, set[int]()
    viewer.settimeout(START_S)
    with viewer:
        while not first or time.monotonic() < first + seconds:
            data = viewer.recv(1 << 16)
            if not data:
                raise SystemExit("The stream ended.")
            reader.take(memoryview(data))
            painted = {number for number, _, _ in reader.frames if number > 0}
            reader.frames.clear()
            if painted and not first:
                first = time.monotonic()
            elif first:
                numbers |= painted
    return first, numbers


if __name__ == "__main__":
    main()
