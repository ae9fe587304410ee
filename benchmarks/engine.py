"""How fast this machine paints: the guide's recipe and ours, in one run (`make bench`).

    python -m benchmarks.engine [--random-weights] [--model FOLDER] [--out FILE]

Without a GPU the demo model is measured, in about a minute; with one, SD-Turbo from MODEL or
with random weights, in at most 8. A table for people, then one JSON line for programs; --out
appends the line to a file. With random weights the pictures mean nothing: the gates prove that
the wiring is right, not how good a picture looks.
"""

from __future__ import annotations

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks import measures, models
from turbostream.engine import gate, hardware, weights
from turbostream.engine.flight import LocalEngine
from turbostream.engine.local import warm_up
from turbostream.engine.model import OneStepModel
from turbostream.settings import Settings
from turbostream.stream.channel import Channel
from turbostream.stream.meter import Meter
from turbostream.stream.producer import Producer
from turbostream.stream.scene import Scene

log = logging.getLogger("benchmarks")

ROOT = Path(__file__).resolve().parents[1]
BATCHES = (1, 2, 4, 8)


class Bench:
    """One run: what was asked for, and the numbers as they come."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.device = hardware.choose(options.device)
        self.cuda = self.device.device.type == "cuda"
        self.folder = None if options.random_weights else Path(options.model or weights.DEMO_FOLDER)
        self.state = Path(options.cache or tempfile.mkdtemp(prefix="bench-"))
        self.row: dict[str, Any] = {
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "gpu": self.device.name,
            "torch": torch.__version__,
            "commit": commit(),
            "weights": "random, SD-Turbo's architecture"
            if self.folder is None
            else self.folder.name,
            "dtype": str(self.device.dtype).removeprefix("torch."),
        }
        self.started = time.perf_counter()

    def left_s(self) -> float:
        return self.options.limit_s - (time.perf_counter() - self.started)

    def note(self, **values: Any) -> None:
        """Numbers for the row, and at once in the log: a run that is cut off has said them."""
        self.row.update(values)
        log.info("[%5.1f s] %s", time.perf_counter() - self.started, json.dumps(values))

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
        return warm_up(
            pipe, None, self.device, self.row["weights"], choices, self.settings(), lambda _: None
        )

    # -- the parts -------------------------------------------------------------------------------

    def cold_start(self) -> None:
        """From weights in memory to the first frame; the stream while Inductor compiles; then
        batch 1 through producer and buffer, with words changing all the time."""
        pipe = models.load(self.folder, self.device)
        self.gflop = models.gflop(pipe, pipe.vae)
        self.note(gflop_per_frame=round(self.gflop, 1))
        loaded = time.monotonic()
        channel = Channel("main", Scene(self.settings().initial_prompt, speed=1.0))
        watcher = measures.Watcher(channel)
        engine: list[LocalEngine] = []

        def open_engine(_: Any) -> LocalEngine:
            engine.append(self.open(pipe))
            return engine[0]

        producer = Producer(channel, open_engine, Meter(), 1000)
        with channel.watched():
            producer.start()
            while not watcher.times:
                time.sleep(0.005)
                if producer.unusable:
                    raise SystemExit(producer.unusable)
            self.note(first_frame_s=round(watcher.times[0] - loaded, 2), in_flight=engine[0].depth)
            self.while_compiling(channel, watcher, engine[0])
            self.steady(channel, watcher)
            self.note(choices=dict(engine[0].choices))
        producer.stop(30)

    def while_compiling(
        self, channel: Channel, watcher: measures.Watcher, engine: LocalEngine
    ) -> None:
        if engine.behind is None:
            return
        alone = time.monotonic() + 1.5  # the compiler's process is still importing
        begun, number = time.monotonic(), 0
        while not engine.behind.wait(1, 0.2) and self.left_s() > self.options.limit_s / 2:
            number += 1
            channel.change({"prompt": f"a red star number {number % 500}"})
        compiled = time.monotonic()
        time.sleep(2.0)  # both lanes swap within a few frames
        self.note(
            compile_s=round(compiled - begun, 1),
            plain_graph_fps=round(watcher.fps(begun, alone), 1),
            fps_while_compiling=round(watcher.fps(alone, compiled), 1),
            worst_gap_while_compiling_ms=round(watcher.worst_gap_ms(begun, compiled + 2), 1),
            frames_while_compiling=len(watcher.times),
            swapped="compile" in watcher.kinds[-5:],
        )

    def steady(self, channel: Channel, watcher: measures.Watcher) -> None:
        seconds = self.options.seconds
        host, gpu, draws = measures.host_mb(), measures.gpu_mb(), []
        watcher.reset()
        begun, number = time.monotonic(), 0
        while time.monotonic() - begun < seconds:
            number += 1  # words that were never seen: each is encoded
            channel.change({"prompt": f"a blue house on a field, variant {number}"})
            time.sleep(0.07)
            if self.cuda and number % 20 == 0 and (draw := measures.watts()) is not None:
                draws.append(draw)
        fps = watcher.fps()
        draw = sum(draws) / len(draws) if draws else None
        self.note(
            batch1_fps=round(fps, 1),
            batch1_kind=watcher.kinds[-1],
            prompt_to_picture_p50_ms=round(watcher.latency(0.5), 1),
            prompt_to_picture_p95_ms=round(watcher.latency(0.95), 1),
            prompts_changed=number,
            frames_measured=len(watcher.times),
            frames_distinct=len(watcher.seen) / max(1, len(watcher.times)) > 0.99,
            watts=draw and round(draw),
            joules_per_frame=draw and round(draw / fps, 2),
            host_mb_growth=round(measures.host_mb() - host, 1),
            gpu_mb_growth=round(measures.gpu_mb() - gpu, 1),
        )

    def batches(self, recipe: subprocess.Popen[str]) -> None:
        """The second start, with the cache; then batches straight through the engine."""
        engine = self.open(models.load(self.folder, self.device))
        try:
            begun = time.monotonic()
            if engine.behind is not None:
                engine.behind.wait(1, 60)
                self.note(second_start_full_speed_s=round(time.monotonic() - begun, 1))
                for batch in BATCHES[1:]:
                    engine.behind.want(batch)
            self.stages(engine)
            if engine.behind is not None:
                for batch in BATCHES[1:]:
                    engine.behind.wait(batch, max(1.0, self.left_s() - 90))
            recipe_ready(recipe, self.left_s() - 60)
            for batch in BATCHES[1:] if self.cuda else ():
                fps, distinct, kind = measures.throughput(engine, batch, 60 * batch)
                self.note(**{f"batch{batch}_fps": round(fps, 1), f"batch{batch}_kind": kind})
                self.row["frames_distinct"] &= distinct >= 60 * batch
            if not self.cuda:
                self.note(batch8_fps=None)
        finally:
            engine.close()

    def stages(self, engine: LocalEngine) -> None:
        model, kind = engine.model, self.device.device.type
        shape = model.latent_shape(None, None)
        noise = torch.randn(1, *shape, device=self.device.device)
        with torch.inference_mode():
            numbers = iter(range(10**6))
            words = model.text("a red star").embedding
            latents = model.denoise(noise, words)
            pixels = model.decode(latents)
            array = pixels[0].cpu().numpy()
            from turbostream.engine import jpeg

            calls = {
                "text": lambda: model.text(f"word {next(numbers)}"),
                "unet": lambda: model.denoise(noise, words),
                "decode": lambda: model.decode(latents),
                "copy": lambda: pixels.cpu(),
                "jpeg": lambda: jpeg.encode(array, 85),
            }
            stage_ms = {
                name: round(measures.median_ms(call, kind), 2) for name, call in calls.items()
            }
        matmul, copy = measures.ceilings(self.device.device, self.device.dtype)
        self.note(plain_stage_ms=stage_ms, matmul_tflops=round(matmul, 1), copy_tbs=round(copy, 2))

    def gates(self) -> None:
        """The step in this format against fp32 from the same noise and words: the yardstick."""
        if not self.cuda:
            return
        exact = hardware.Hardware(self.device.device, torch.float32, "the reference")
        outputs = []
        for side in (exact, self.device):
            model = OneStepModel(models.load(self.folder, side), side)
            generator = torch.Generator().manual_seed(0)
            noise = torch.randn(1, *model.latent_shape(None, None), generator=generator)
            noise = noise.to(side.device)
            with torch.inference_mode():
                latents = model.denoise(noise, model.text("a red star").embedding)
                said = gate.predicted(latents, noise, model.schedule)
                outputs.append((said.float(), model.decode(latents)))
            del model
            torch.cuda.empty_cache()
        self.note(
            unet_error_to_fp32=round(gate.relative_error(outputs[1][0], outputs[0][0]), 5),
            psnr_to_fp32_db=round(gate.psnr(outputs[1][1], outputs[0][1]), 1),
        )

    def recipe(self, process: subprocess.Popen[str]) -> None:
        said = finish_recipe(process, max(20.0, self.left_s()))
        self.note(recipe_fps=said and round(said["fps"], 2))
        if said and self.row.get("batch1_fps"):
            self.note(times_recipe=round(self.row["batch1_fps"] / said["fps"], 1))
        best = max(self.row.get(f"batch{batch}_fps") or 0 for batch in BATCHES)
        share = best * self.gflop / 1000 / self.row["matmul_tflops"]
        self.note(share_of_ceiling=round(share, 3))

    def start_recipe(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "benchmarks.recipe", str(self.folder or "")]
        command += [self.device.device.type, "40" if self.cuda else "20"]
        return subprocess.Popen(
            command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )


def recipe_ready(process: subprocess.Popen[str], limit_s: float) -> None:
    """Wait until the recipe's process has compiled and is quiet."""
    log.info("waiting for the recipe's process (at most %.0f s)", limit_s)
    assert process.stdout is not None
    process.stdout.readline()


def finish_recipe(process: subprocess.Popen[str], limit_s: float) -> dict[str, float] | None:
    try:
        said, _ = process.communicate("go\n", timeout=limit_s)
        result: dict[str, float] = json.loads(said.strip().splitlines()[-1])
    except (subprocess.TimeoutExpired, ValueError, IndexError, OSError):
        process.kill()
        return None
    return result


def commit() -> str:
    git = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return git.stdout.strip() or "unknown"


def table(row: dict[str, Any]) -> str:
    """The numbers for people."""
    many = f"{row.get('in_flight')} in flight"
    lines = [
        f"{row['gpu']}, torch {row['torch']}, {row['dtype']}, weights: {row['weights']}",
        f"{'the guide’s recipe':38} {row.get('recipe_fps')} frames/s",
        f"{f'batch 1 ({many}), producer to buffer':38} {row.get('batch1_fps')} frames/s "
        f"({row.get('times_recipe')}x)",
    ]
    lines += [
        f"{f'batch {batch} ({many})':38} {row[f'batch{batch}_fps']} frames/s"
        for batch in BATCHES[1:]
        if row.get(f"batch{batch}_fps")
    ]
    wanted = ("first_frame_s", "second_start_full_speed_s", "worst_gap_while_compiling_ms")
    wanted += ("prompt_to_picture_p50_ms", "prompt_to_picture_p95_ms", "plain_stage_ms")
    wanted += ("share_of_ceiling", "joules_per_frame", "frames_distinct")
    lines += [f"{name.replace('_', ' '):38} {row[name]}" for name in wanted if name in row]
    return "\n".join(lines)


def add_options(parser: argparse.ArgumentParser) -> None:
    """What every benchmark of the engine understands."""
    parser.add_argument("--random-weights", action="store_true")
    parser.add_argument("--model", help="a model's folder; without it the demo model")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--acceleration", default="auto")
    parser.add_argument("--cache", help="a folder for compiled code; without it a new one")
    parser.add_argument("--limit-s", type=float, default=470.0, help="for the whole run")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    parser.add_argument("--seconds", type=float, default=10.0, help="of the batch-1 measurement")
    parser.add_argument("--out", help="append the JSON line to this file")
    options = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    bench = Bench(options)
    bench.cold_start()
    recipe = bench.start_recipe()
    try:
        bench.batches(recipe)
        bench.gates()
        bench.recipe(recipe)
    finally:
        recipe.kill()
        recipe.wait()
    print(table(bench.row))
    line = json.dumps(bench.row)
    print(line)
    if options.out:
        with Path(options.out).open("a", encoding="utf-8") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    main()
