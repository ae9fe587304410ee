"""How fast this machine paints: the guide's recipe and ours, in one run (`make bench`).

    python -m benchmarks.engine [--random-weights] [--model FOLDER] [--out FILE] [--profile]

Without a GPU the demo model is measured, in about a minute; with one, SD-Turbo from MODEL or
with random weights, within --limit-s. A table for people, then one JSON line for programs, which
--out keeps in a file as it grows. With random weights the pictures mean nothing: the parity checks
prove that the wiring is right, not how good a picture looks.

What matters most comes first, and nothing is compiled while something is timed, but for the
stream that goes on beside its own compiler: that is what the gap is about.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import torch

from benchmarks import measures, models
from benchmarks.recipe import Recipe
from benchmarks.run import Run, add_options, log
from turbostream.engine import jpeg
from turbostream.engine.cuda import parity
from turbostream.engine.device import hardware
from turbostream.engine.local_engine import LocalEngine
from turbostream.engine.model.stable_diffusion import OneStepModel
from turbostream.stream.channel import Channel
from turbostream.stream.scene import Scene
from turbostream.stream.scheduled_channel import ScheduledChannel
from turbostream.stream.supervisor import Supervisor

BATCHES = (8, 4, 2)  # in the order of interest
SUBMISSIONS = 200  # of each batch size
NEW_WORDS_S = 0.15  # how often the words change: the page sends them this long after a key
MEASURING_S = 60.0  # for what comes after the last compiler: batches, recipe, the yardstick


class Bench(Run):
    """The parts of one run, in their order."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self.engine: LocalEngine | None = None  # the second start's
        self.recipe_process: Recipe | None = None
        self.gflop = 0.0
        self.table_of_kernels = ""

    # -- the stream: scheduler, engine, buffer ----------------------------------------------------

    def stream(self) -> None:
        """From weights in memory to the first frame; the stream while Inductor compiles; then
        batch 1 with words changing all the time."""
        pipe = models.load(self.folder, self.device)
        loaded = time.monotonic()
        channel = Channel("main", Scene(self.settings().initial_prompt, speed=1.0))
        watcher = measures.Watcher(channel)
        engines: list[LocalEngine] = []

        def open_engine(_: Any) -> LocalEngine:
            engines.append(self.open(pipe))
            return engines[0]

        supervisor = Supervisor([ScheduledChannel(channel, 1000)], open_engine)
        try:
            with channel.watched():
                supervisor.start()
                while not watcher.times:
                    time.sleep(0.005)
                    if supervisor.unusable:
                        raise RuntimeError(supervisor.unusable)
                first, engine = watcher.times[0], engines[0]
                self.note(first_frame_s=round(first - loaded, 2), in_flight=engine.depth)
                self.note(choices=dict(engine.choices))
                if self.cuda and self.options.acceleration != "off" and not engine.plan.streams:
                    self.failed = True
                    raise SystemExit(self.end("No graph on this card: the rest has no meaning."))
                if engine.compiler is not None:
                    self.steady(channel, watcher, 5.0)
                    self.note(plain_graph_fps=self.row["batch1_fps"])
                    self.while_compiling(channel, watcher, engine, first)
                self.steady(channel, watcher, self.options.seconds)
                self.power()
                self.note(choices=dict(engine.choices))
        finally:
            supervisor.stop(30)

    def while_compiling(
        self, channel: Channel, watcher: measures.Watcher, engine: LocalEngine, since: float
    ) -> None:
        """`since`: when the compiler was started, at the first frame."""
        watcher.reset()
        begun, number = time.monotonic(), 0
        while not (done := engine.compiler.wait(1, NEW_WORDS_S)) and self._may_compile():
            number += 1
            channel.change({"prompt": f"a red star number {number}"})
        compiled = time.monotonic()
        if not done:
            engine.compiler.close()
            log.info("the compiler is stopped: the rest of the time is for measuring")
        time.sleep(2.0)  # both streams swap within a few frames
        self.note(
            compile_s=round(compiled - since, 1) if done else None,
            fps_while_compiling=round(watcher.fps(begun, compiled), 1),
            worst_gap_while_compiling_ms=round(watcher.worst_gap_ms(begun, compiled + 2), 1),
            frames_while_compiling=len(watcher.times),
            swapped="compile" in watcher.kinds[-5:],
        )

    def _may_compile(self) -> bool:
        """Batch 1 gets half of the time and more; batch 8 and the recipe need the rest."""
        return self.left_s() > self.options.limit_s * 0.42

    def steady(self, channel: Channel, watcher: measures.Watcher, seconds: float) -> None:
        host, gpu = measures.host_mb(), measures.gpu_mb()
        watcher.reset()
        begun, number = time.monotonic(), 0
        while time.monotonic() - begun < seconds:
            number += 1  # words that were never seen: each is encoded
            channel.change({"prompt": f"a blue house on a field, variant {time.monotonic()}"})
            time.sleep(NEW_WORDS_S)
        fps, times, latency = watcher.fps(), len(watcher.times), watcher.latency
        self.note(
            batch1_fps=round(fps, 1),
            batch1_kind=watcher.kinds[-1] if watcher.kinds else None,
            prompt_to_picture_p50_ms=latency(0.5),
            prompt_to_picture_p95_ms=latency(0.95),
            worst_gap_ms=round(watcher.worst_gap_ms(), 1),
            prompts_changed=number,
            frames_measured=times,
            frames_distinct=len(watcher.seen) / max(1, times) > 0.99,
            host_mb_growth=round(measures.host_mb() - host, 1),
            gpu_mb_growth=round(measures.gpu_mb() - gpu, 1),
        )

    def power(self) -> None:
        """After the measurement: asking the driver takes the driver's time."""
        draws = [draw for _ in range(8 if self.cuda else 0) if (draw := measures.watts())]
        if draws:
            draw = sum(draws) / len(draws)
            joules = round(draw / self.row["batch1_fps"], 2)
            self.note(watts=round(draw), joules_per_frame=joules)

    # -- the engine by itself --------------------------------------------------------------------

    def second_start(self) -> None:
        """The same again in this process, with what was compiled in the cache."""
        pipe = models.load(self.folder, self.device)
        self.gflop = models.gflop(pipe, pipe.vae)
        self.note(gflop_per_frame=round(self.gflop, 1))
        loaded = time.monotonic()
        self.engine = engine = self.open(pipe)
        opened = time.monotonic()
        if engine.compiler is not None and self.row.get("compile_s"):
            done = engine.compiler.wait(1, 30)
            measures.throughput(engine, 1, 3 * engine.depth)  # every stream takes its turn
            if done:
                seconds = round(time.monotonic() - loaded, 1)
                self.note(second_start_full_speed_s=seconds, second_choices=dict(engine.choices))
        self.note(second_first_frame_s=round(opened - loaded, 1))

    def stages(self) -> None:
        assert self.engine is not None
        model, kind = self.engine.model, self.device.device.type
        shape = model.latent_shape(None, None)
        noise = torch.randn(1, *shape, device=self.device.device)
        with torch.inference_mode():
            numbers = iter(range(10**6))
            embedding = model.encode_prompt("a red star").tensor[None]
            model.synchronize()
            latents = model.denoise(noise, embedding)
            pixels = model.decode(latents)
            array = pixels[0].cpu().numpy()
            calls = {
                "text": lambda: model.encode_prompt(f"word {next(numbers)}"),
                "unet": lambda: model.denoise(noise, embedding),
                "decode": lambda: model.decode(latents),
                "copy": lambda: pixels.cpu(),
                "jpeg": lambda: jpeg.encode(array, 85),
            }
            stage_ms = {
                name: round(measures.median_ms(call, kind), 2) for name, call in calls.items()
            }
        matmul, copy = measures.ceilings(self.device.device, self.device.dtype)
        self.note(plain_stage_ms=stage_ms, matmul_tflops=round(matmul, 3), copy_tbs=round(copy, 3))

    def compile_others(self) -> None:
        """The recipe and batch 8 at once: nothing is timed meanwhile."""
        frames = 40 if self.cuda else 20
        self.recipe_process = Recipe(self.folder, self.device.device.type, frames)
        self.at_end.append(self.recipe_process.end)
        compiler = self.engine.compiler if self.engine is not None else None
        if compiler is not None and self.row.get("compile_s"):
            compiler.request(BATCHES[0])
            done = compiler.wait(BATCHES[0], self.left_s() - MEASURING_S)
            self.note(batch8_compiled=done)
            if not done:
                compiler.close()
        ready = self.recipe_process.ready(max(10.0, self.left_s() - MEASURING_S / 2))
        self.note(recipe_ready=ready)

    def recipe(self) -> None:
        said = None
        if self.row["recipe_ready"] and self.recipe_process is not None:
            said = self.recipe_process.measure(self.left_s() - 5)
        self.note(recipe_fps=said and round(said["fps"], 2))
        if said:
            self.note(recipe_compile_s=round(said["compile_s"], 1))
            self.note(times_recipe=round(self.row["batch1_fps"] / said["fps"], 1))

    def batches(self) -> None:
        """Straight through the engine: shots to JPEGs."""
        assert self.engine is not None
        if not self.cuda:
            self.note(batch8_fps=None)
            return
        if self.engine.compiler is not None:
            self.engine.compiler.close()  # or the first use of a batch size would start a compiler
            self.note(second_choices=dict(self.engine.choices))
        for batch in BATCHES:
            fps, distinct, kind = measures.throughput(self.engine, batch, SUBMISSIONS * batch)
            self.note(**{f"batch{batch}_fps": round(fps, 1), f"batch{batch}_kind": kind})
            if distinct < SUBMISSIONS * batch:
                self.note(frames_distinct=False)

    def share(self) -> None:
        fps = [self.row.get(f"batch{batch}_fps") or 0 for batch in (1, *BATCHES)]
        share = max(fps) * self.gflop / 1000 / self.row["matmul_tflops"]
        self.note(share_of_ceiling=round(share, 3))

    def yardstick(self) -> None:
        """The step in this format against fp32 from the same noise and words."""
        if not self.cuda:
            return
        torch.backends.cudnn.allow_tf32 = False  # fp32 means fp32 here
        exact = hardware.Hardware(self.device.device, torch.float32, "the reference")
        outputs = []
        for side in (exact, self.device):
            model = OneStepModel(models.load(self.folder, side), side)
            generator = torch.Generator().manual_seed(0)
            noise = torch.randn(1, *model.latent_shape(None, None), generator=generator)
            noise = noise.to(side.device)
            with torch.inference_mode():
                embedding = model.encode_prompt("a red star").tensor[None]
                model.synchronize()
                latents = model.denoise(noise, embedding)
                said = parity.predicted(latents, noise, model.schedule)
                outputs.append((said.float(), model.decode(latents)))
            del model
            torch.cuda.empty_cache()
        self.note(
            unet_error_to_fp32=round(parity.relative_error(outputs[1][0], outputs[0][0]), 5),
            # JSON has no infinity, which equal pictures would be
            psnr_to_fp32_db=round(min(99.0, parity.psnr(outputs[1][1], outputs[0][1])), 1),
        )

    def profile(self) -> None:
        """The kernels of a batch-1 frame, for docs/experiments.md."""
        assert self.engine is not None
        self.table_of_kernels = measures.kernels(self.engine, self.cuda)
        log.info("%s", self.table_of_kernels)

    def close(self) -> None:
        if self.engine is not None:
            self.engine.close()


def table(row: dict[str, Any]) -> str:
    """The numbers for people."""
    many = f"{row.get('in_flight')} in flight"
    lines = [
        f"{row['gpu']}, torch {row['torch']}, {row['dtype']}, weights: {row['weights']}",
        f"{'the guide’s recipe':38} {row.get('recipe_fps')} frames/s",
        f"{f'batch 1 ({many}), scheduler to buffer':38} {row.get('batch1_fps')} frames/s "
        f"({row.get('times_recipe')}x), {row.get('batch1_kind')}",
    ]
    lines += [
        f"{f'batch {batch} ({many})':38} {row[f'batch{batch}_fps']} frames/s, "
        f"{row[f'batch{batch}_kind']}"
        for batch in sorted(BATCHES)
        if row.get(f"batch{batch}_fps")
    ]
    wanted: tuple[str, ...] = (
        "first_frame_s",
        "second_start_full_speed_s",
        "worst_gap_while_compiling_ms",
    )
    wanted += ("prompt_to_picture_p50_ms", "prompt_to_picture_p95_ms", "plain_stage_ms")
    wanted += ("share_of_ceiling", "joules_per_frame", "frames_distinct")
    lines += [f"{name.replace('_', ' '):38} {row[name]}" for name in wanted if name in row]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    parser.add_argument("--seconds", type=float, default=10.0, help="of the batch-1 measurement")
    parser.add_argument("--profile", action="store_true", help="the kernels of a frame, at the end")
    options = parser.parse_args()
    bench = Bench(options)
    parts = [bench.stream, bench.second_start, bench.stages, bench.compile_others]
    parts += [bench.recipe, bench.batches, bench.share, bench.yardstick]
    for part in [*parts, *([bench.profile] if options.profile else []), bench.close]:
        bench.part(part)
    return bench.end("\n".join((bench.table_of_kernels, table(bench.row))).strip())


if __name__ == "__main__":
    sys.exit(main())
