"""One run of an engine benchmark: its options, and its results as they are measured.

Each number is written to the log and the file as soon as it is known, and a run ends when its time
is up, whatever it is waiting for, so that no result is lost on a machine rented by the minute.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from turbostream.engine import weights
from turbostream.engine.device import hardware
from turbostream.engine.local_engine import LocalEngine
from turbostream.engine.opening import Techniques, warm_up
from turbostream.settings import Settings
from turbostream.stream.engine_api import Resolve

log = logging.getLogger("benchmarks")

ROOT = Path(__file__).resolve().parents[1]
CUT_OFF = 3  # exit status of a run that reached its time limit


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that all engine benchmarks share."""
    parser.add_argument("--random-weights", action="store_true")
    parser.add_argument("--model", help="a model's folder; default: the demo model")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--acceleration", default="auto")
    parser.add_argument("--cache", help="a folder for compiled code; default: a new one")
    parser.add_argument("--limit-s", type=float, default=470.0, help="for the whole run")
    parser.add_argument("--out", help="append the JSON line to this file")
    parser.add_argument("--commit", help="the commit to record where git is unavailable")
    own = Techniques()
    parser.add_argument("--streams", type=int, default=own.streams, help="concurrent graphs")
    parser.add_argument("--spare", type=int, default=own.spare, help="more in-flight submissions")
    parser.add_argument("--cudnn-benchmark", action="store_true", help="let cuDNN search kernels")
    parser.add_argument("--inductor", type=json.loads, default={}, help="options as JSON")


class Run:
    def __init__(self, options: argparse.Namespace) -> None:
        logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
        self.options = options
        self.device = hardware.choose(options.device)
        self.cuda = self.device.device.type == "cuda"
        self.folder = None if options.random_weights else Path(options.model or weights.DEMO_FOLDER)
        self.state = Path(options.cache or tempfile.mkdtemp(prefix="bench-"))
        self.techniques = Techniques(
            options.streams,
            options.spare,
            options.cudnn_benchmark,
            options.inductor,
        )
        self.row: dict[str, Any] = {
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "gpu": self.device.name,
            "torch": torch.__version__,
            "commit": options.commit or commit(),
            "weights": "random, SD-Turbo's architecture"
            if self.folder is None
            else self.folder.name,
            "dtype": str(self.device.dtype).removeprefix("torch."),
            "arguments": " ".join(sys.argv[1:]),
            "finished": False,
        }
        self.started = time.perf_counter()
        self.at_end: list[Callable[[], object]] = []  # stops the processes that were started
        self.failed = False
        self._lock = threading.Lock()
        self._out = Path(options.out) if options.out else None
        self._place = 0
        if self._out is not None:
            self._out.parent.mkdir(parents=True, exist_ok=True)
            self._out.touch()
            self._place = self._out.stat().st_size
        self._timer = threading.Timer(options.limit_s, self._cut_off)
        self._timer.daemon = True
        self._timer.start()

    def left_s(self) -> float:
        return self.options.limit_s - (time.perf_counter() - self.started)

    def note(self, **values: Any) -> None:
        """Add numbers to the row, the log and the file."""
        with self._lock:
            self.row.update(values)
            log.info("[%5.1f s] %s", time.perf_counter() - self.started, json.dumps(values))
            self._write()

    def _write(self) -> None:
        """Replace this run's line, the last one of the file."""
        if self._out is not None:
            with self._out.open("r+", encoding="utf-8") as file:
                file.seek(self._place)
                file.truncate()
                file.write(json.dumps(self.row) + "\n")

    def part(self, part: Callable[[], None]) -> None:
        """Run one part of the benchmark; a failure is recorded, and the next part can still run."""
        try:
            part()
        except Exception as error:  # whatever failed, the other parts are still worth measuring
            log.exception("%s failed", part.__name__)
            self.failed = True
            self.note(**{f"{part.__name__}_failed": f"{type(error).__name__}: {error}"[:300]})

    def end(self, table: str = "") -> int:
        """Print the table and the JSON line; returns the exit status."""
        self._timer.cancel()
        for end in self.at_end:
            end()
        self.note(finished=not self.failed, run_s=round(time.perf_counter() - self.started, 1))
        print(table, json.dumps(self.row), sep="\n" if table else "", flush=True)
        return int(self.failed)

    def _cut_off(self) -> None:
        for end in self.at_end:
            end()
        self.note(cut_off_after_s=self.options.limit_s)
        print(json.dumps(self.row), flush=True)
        os._exit(CUT_OFF)

    def settings(self) -> Settings:
        return Settings(
            target_fps=1000,
            initial_prompt="three yellow stars on a night sky",
            model_id="demo",
            server_port=0,
            acceleration=self.options.acceleration,
            state_dir=self.state,
        )

    def open(self, pipe: Any, resolve: Resolve | None = None) -> LocalEngine:
        choices = {"decoder": "tiny: a benchmark", "attention": "sdpa: PyTorch's own"}
        name = self.row["weights"].replace(" ", "-")
        settings = self.settings()
        engine = warm_up(
            pipe,
            None,
            self.device,
            name,
            choices,
            settings,
            lambda _: None,
            self.techniques,
            resolve,
        )
        if engine.compiler is not None:
            self.at_end.append(engine.compiler.close)
        return engine


def commit() -> str:
    try:
        command = ["git", "rev-parse", "--short", "HEAD"]
        git = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return git.stdout.strip() or "unknown"
