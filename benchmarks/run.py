"""One run of a benchmark of the engine: what was asked for, and the numbers as they come.

Each number is in the log and in the file as soon as it is known, and a run ends when its time is
up, whatever it is waiting for: a machine that is rented by the minute must not keep what it has
measured to itself.
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

log = logging.getLogger("benchmarks")

ROOT = Path(__file__).resolve().parents[1]
CUT_OFF = 3  # exit status of a run whose time was up


def add_options(parser: argparse.ArgumentParser) -> None:
    """What every benchmark of the engine understands."""
    parser.add_argument("--random-weights", action="store_true")
    parser.add_argument("--model", help="a model's folder; without it the demo model")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--acceleration", default="auto")
    parser.add_argument("--cache", help="a folder for compiled code; without it a new one")
    parser.add_argument("--limit-s", type=float, default=470.0, help="for the whole run")
    parser.add_argument("--out", help="append the JSON line to this file")
    parser.add_argument("--commit", help="what to call this code where there is no git")
    own = Techniques()
    parser.add_argument("--streams", type=int, default=own.streams, help="graphs at once")
    parser.add_argument("--spare", type=int, default=own.spare, help="submissions beyond them")
    parser.add_argument("--cudnn-benchmark", action="store_true", help="search for convolutions")
    parser.add_argument("--inductor", type=json.loads, default={}, help="options, as JSON")


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
        self.at_end: list[Callable[[], object]] = []  # ends the processes that were started
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
        """Numbers for the row, at once in the log and in the file."""
        with self._lock:
            self.row.update(values)
            log.info("[%5.1f s] %s", time.perf_counter() - self.started, json.dumps(values))
            self._write()

    def _write(self) -> None:
        """This run's line is the file's last one."""
        if self._out is not None:
            with self._out.open("r+", encoding="utf-8") as file:
                file.seek(self._place)
                file.truncate()
                file.write(json.dumps(self.row) + "\n")

    def part(self, part: Callable[[], None]) -> None:
        """Run a part. One that fails is noted, and the next one has its turn."""
        try:
            part()
        except Exception as error:  # a guard like the scheduler's: the device's time is paid for
            log.exception("%s failed", part.__name__)
            self.failed = True
            self.note(**{f"{part.__name__}_failed": f"{type(error).__name__}: {error}"[:300]})

    def end(self, table: str = "") -> int:
        """The table, the line, and the exit status."""
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

    def open(self, pipe: Any) -> LocalEngine:
        choices = {"decoder": "tiny: a benchmark", "attention": "sdpa: PyTorch's own"}
        name = self.row["weights"].replace(" ", "-")
        settings = self.settings()
        engine = warm_up(
            pipe, None, self.device, name, choices, settings, lambda _: None, self.techniques
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
