"""The cluster engine: frames/s of 1 to N workers, words to picture, fairness, and a worker killed.

    python -m benchmarks.cluster --workers 1,2 --seconds 10 [--save cluster] [--model-id demo]
    python -m benchmarks.cluster --random-weights --workers 1,2 --channels 8,16 --warm-s 300

On GPUs a worker has one of them, so --workers says how many are used; --warm-s lets their code
compile before the first measurement, and --compiled keeps it for the next run.

Each channel is a thread that keeps one submission in flight and changes its words twice a second,
straight at the engine: what the server adds is measured by `benchmarks.control`. Fairness is the
slowest channel over the mean. Efficiency is against one worker at as many channels.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks.controllers import keeping_compiled
from benchmarks.report import emit, machine, percentile
from turbostream.engine import open_engine, weights
from turbostream.settings import Settings
from turbostream.stream.engine_api import Engine, workers_of
from turbostream.stream.shot import Shot

WORDS_S = 0.5  # between two changes of a channel's words
READY_S = 600.0


class Channel(threading.Thread):
    """Paints until told to stop. arrivals: monotonic s of each picture. waits_ms: from new words to
    their first picture."""

    def __init__(self, engine: Engine, index: int) -> None:
        super().__init__(name=f"channel {index}")
        self.arrivals: list[float] = []
        self.waits_ms: list[float] = []
        self._engine, self._index = engine, index
        self._over = threading.Event()

    def run(self) -> None:
        number, turn, changed = 0, 0, time.monotonic()
        while not self._over.is_set():
            is_new = time.monotonic() - changed >= WORDS_S
            if is_new:
                turn, changed = turn + 1, time.monotonic()
            number += 1
            shot = Shot.single(f"a red star, variant {self._index} {turn}", number)
            self._engine.submit([shot]).result(READY_S)
            self.arrivals.append(time.monotonic())
            if is_new:
                self.waits_ms.append((self.arrivals[-1] - changed) * 1000)

    def stop(self) -> None:
        self._over.set()


def show_gpus(count: int) -> None:
    """Let Ray, which is started after this, see the first `count` GPUs."""
    if torch.cuda.device_count():
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(count)))


def opened(options: argparse.Namespace, workers: int, folder: str) -> Engine:
    settings = Settings(
        target_fps=30,
        initial_prompt="a red star",
        model_id=options.model_id,
        server_port=0,
        acceleration=options.acceleration,
        decoder="full" if options.random_weights else "tiny",
        engine="ray",
        ray_address=options.ray_address,
        ray_workers=workers,
        state_dir=Path(folder),
    )
    found = weights.find(options.model_id, settings.device, settings.many_steps)
    engine = open_engine(settings, found, lambda status: None)
    deadline = time.monotonic() + READY_S
    while any(one.state != "ready" for one in workers_of(engine)):
        if time.monotonic() > deadline:
            raise SystemExit(f"not every worker is ready: {workers_of(engine)}")
        time.sleep(0.1)
    return engine


def measured(engine: Engine, channels: int, seconds: float, warm_s: float) -> dict[str, Any]:
    threads = [Channel(engine, index) for index in range(channels)]
    for one in threads:
        one.start()
    time.sleep(warm_s)  # first kernels, first prompts, and code that is compiled
    for one in threads:
        one.waits_ms.clear()
    since = time.monotonic()
    time.sleep(seconds)
    until = time.monotonic()
    for one in threads:
        one.stop()
    for one in threads:
        one.join()
    counts = [sum(since <= at < until for at in one.arrivals) for one in threads]
    waits = [wait for one in threads for wait in one.waits_ms]
    return {
        "workers": len(workers_of(engine)),
        "channels": channels,
        "fps": round(sum(counts) / (until - since), 2),
        "words_to_picture_p95_ms": round(percentile(waits, 0.95), 1),
        "fairness": round(min(counts) * len(counts) / max(1, sum(counts)), 3),
    }


def killed(engine: Engine) -> dict[str, Any]:
    """The longest time without a picture after a worker was killed, and until all are ready."""
    channel = Channel(engine, 0)
    channel.start()
    time.sleep(3.0)
    found = psutil.process_iter(["cmdline"])
    painting = [one for one in found if "ray::PaintingActor" in " ".join(one.info["cmdline"] or ())]
    painting[0].kill()
    at = time.monotonic()
    while not sum(one.restarts for one in workers_of(engine)):
        time.sleep(0.05)
        if time.monotonic() - at > READY_S:
            raise SystemExit("the killed worker did not return")
    back = time.monotonic()
    channel.stop()
    channel.join()
    times = [at, *(one for one in channel.arrivals if one > at)]
    gap = max(later - earlier for earlier, later in zip(times, times[1:], strict=False))
    return {"longest_gap_s": round(gap, 2), "ready_again_s": round(back - at, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", default="1,2", help="numbers of workers")
    parser.add_argument("--channels", default="1,2,4", help="numbers of channels")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--warm-s", type=float, default=2.0, help="before each, not counted")
    parser.add_argument("--model-id", default="demo")
    parser.add_argument("--random-weights", action="store_true", help="SD-Turbo's architecture")
    parser.add_argument("--acceleration", default="auto")
    parser.add_argument("--compiled", type=Path, help="a folder for compiled code")
    parser.add_argument("--ray-address", default="local")
    parser.add_argument("--save", help="name of the file in benchmarks/results/")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    rows: list[dict[str, Any]] = []
    lost: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        keeping_compiled(options.compiled, Path(folder)),
    ):
        if options.random_weights:
            from benchmarks import models  # which loads what the GPU needs

            options.model_id = str(Path(folder, "sd-turbo"))
            models.write(Path(options.model_id))
        for workers in map(int, options.workers.split(",")):
            show_gpus(workers)
            engine = opened(options, workers, folder)
            try:
                for channels in map(int, options.channels.split(",")):
                    row = measured(engine, channels, options.seconds, options.warm_s)
                    ones = [one for one in rows if one["workers"] == 1]
                    base = [one["fps"] for one in ones if one["channels"] == channels]
                    if base and row["workers"] > 1:
                        row["efficiency"] = round(row["fps"] / base[0] / row["workers"], 3)
                    rows.append(row)
                    choices = dict(engine.choices)
                    print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
                if len(workers_of(engine)) > 1:
                    lost = killed(engine)
                    print("  ".join(f"{name} {value}" for name, value in lost.items()), flush=True)
            finally:
                engine.close()
    emit(
        {
            **machine(),
            "model": "random, SD-Turbo's architecture"
            if options.random_weights
            else options.model_id,
            "rows": rows,
            "killed_worker": lost,
            "choices": choices,
        },
        options.save,
    )


if __name__ == "__main__":
    main()
