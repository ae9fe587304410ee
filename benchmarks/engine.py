"""The speed of the engine on this machine, compared with the original guide's recipe: `make bench`.

    python -m benchmarks.engine [--random-weights] [--model FOLDER] [--out FILE] [--profile]

Without a GPU it measures the demo model, in about a minute; with one, the model in FOLDER or
SD-Turbo's architecture with random weights, within --limit-s. Prints a table, then one JSON line,
which --out also appends to a file and updates during the run. With random weights the pictures are
meaningless: the parity checks show that the paths agree, not that pictures look good.

The most important measurements come first. Nothing is compiled while something is timed, except
for the stream during its own compilation, where the frame gaps are the result.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from typing import Any

import torch

from benchmarks import measures, models
from benchmarks.engine_stream import StreamRun
from benchmarks.guide_recipe import Recipe
from benchmarks.run import add_options, log
from turbostream.engine import jpeg
from turbostream.engine.cuda import parity
from turbostream.engine.device import hardware
from turbostream.engine.local_engine import LocalEngine
from turbostream.engine.model.model import Model

BATCHES = (8, 4, 2)  # most important first
SUBMISSIONS = 200  # of each batch size
FADE_ROUNDS = 5  # of words at rest and words fading, alternating
WORDS = (measures.at_rest, measures.fading)
MEASURING_S = 60.0  # reserved for the parts after the last compilation: batches, recipe, fp32


class Bench(StreamRun):
    """The parts of one run, in order."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self.engine: LocalEngine | None = None  # of the second start
        self.recipe_process: Recipe | None = None
        self.gflop = 0.0
        self.table_of_kernels = ""

    def second_start(self) -> None:
        """A second start in this process, with the compiled code in the cache."""
        pipe = models.load(self.folder, self.device)
        self.gflop = models.gflop(pipe, pipe.vae)
        self.note(gflop_per_frame=round(self.gflop, 1))
        loaded = time.monotonic()
        self.engine = engine = self.open(pipe)
        opened = time.monotonic()
        if engine.compiler is not None and self.row.get("compile_s"):
            done = engine.compiler.wait(1, 30)
            measures.throughput(engine, 1, 3 * engine.depth)  # so that every stream changes over
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
                "text": lambda: model.encode_prompt(f"prompt {next(numbers)}"),
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
        """Compile the recipe and batch 8 concurrently; nothing is timed meanwhile."""
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
        result = None
        if self.row["recipe_ready"] and self.recipe_process is not None:
            result = self.recipe_process.measure(self.left_s() - 5)
        self.note(recipe_fps=result and round(result["fps"], 2))
        if result:
            self.note(recipe_compile_s=round(result["compile_s"], 1))
            self.note(times_recipe=round(self.row["batch1_fps"] / result["fps"], 1))

    def batches(self) -> None:
        """Shots to JPEGs through the engine alone, for each batch size."""
        assert self.engine is not None
        if not self.cuda:
            self.note(batch8_fps=None)
            return
        if self.engine.compiler is not None:
            self.engine.compiler.close()  # otherwise a new batch size would start a compilation
            self.note(second_choices=dict(self.engine.choices))
        for batch in BATCHES:
            fps, distinct, kind = measures.throughput(self.engine, batch, SUBMISSIONS * batch)
            self.note(**{f"batch{batch}_fps": round(fps, 1), f"batch{batch}_kind": kind})
            if distinct < SUBMISSIONS * batch:
                self.note(frames_distinct=False)

    def compile_one(self) -> None:
        """Wait for the code of batch 1, then compile nothing else."""
        compiler = self.engine.compiler if self.engine is not None else None
        if compiler is not None:
            self.note(compiled=compiler.wait(1, self.left_s() - MEASURING_S))
            compiler.close()

    def fades(self) -> None:
        """Batch 1 through the engine alone: words at rest and words that fade with every frame,
        alternating; the median of each, and of the rounds' ratios."""
        assert self.engine is not None
        frames = 600 if self.cuda else 12
        rounds = [
            [measures.throughput(self.engine, 1, frames, words)[0] for words in WORDS]
            for _ in range(FADE_ROUNDS)
        ]
        rest, fade = (statistics.median(rates) for rates in zip(*rounds, strict=True))
        ratio = statistics.median(fading / resting for resting, fading in rounds)
        self.note(
            words_at_rest_fps=round(rest, 1),
            words_fading_fps=round(fade, 1),
            share_while_fading=round(ratio, 3),
        )

    def share_of_ceiling(self) -> None:
        """The share of the measured matrix product rate that the fastest batch size reaches."""
        fps = [self.row.get(f"batch{batch}_fps") or 0 for batch in (1, *BATCHES)]
        share = max(fps) * self.gflop / 1000 / self.row["matmul_tflops"]
        self.note(share_of_ceiling=round(share, 3))

    def error_to_fp32(self) -> None:
        """The step in this number format compared with fp32, for the same noise and prompt."""
        if not self.cuda:
            return
        torch.backends.cudnn.allow_tf32 = False  # the reference needs full fp32
        exact = hardware.Hardware(self.device.device, torch.float32, "the reference")
        outputs = []
        for side in (exact, self.device):
            model = Model(models.load(self.folder, side), side)
            generator = torch.Generator().manual_seed(0)
            noise = torch.randn(1, *model.latent_shape(None, None), generator=generator)
            noise = noise.to(side.device)
            with torch.inference_mode():
                embedding = model.encode_prompt("a red star").tensor[None]
                model.synchronize()
                latents = model.denoise(noise, embedding)
                predicted = parity.predicted(latents, noise, model.schedule)
                outputs.append((predicted.float(), model.decode(latents)))
            del model
            torch.cuda.empty_cache()
        self.note(
            unet_error_to_fp32=round(parity.relative_error(outputs[1][0], outputs[0][0]), 5),
            # Equal pictures have an infinite PSNR, which JSON cannot represent.
            psnr_to_fp32_db=round(min(99.0, parity.psnr(outputs[1][1], outputs[0][1])), 1),
        )

    def peak_memory(self) -> None:
        """The peaks of this process so far, in GiB: resident, and of torch's memory on the GPU."""
        # Linux counts ru_maxrss in KiB, macOS in bytes.
        unit = 1 if sys.platform == "darwin" else 1024
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        self.note(peak_resident_gib=round(resident / 2**30, 2))
        if self.cuda:
            self.note(
                peak_allocated_gib=round(torch.cuda.max_memory_allocated() / 2**30, 2),
                peak_reserved_gib=round(torch.cuda.max_memory_reserved() / 2**30, 2),
            )

    def profile(self) -> None:
        """The kernels of a batch-1 frame, for docs/experiments/."""
        assert self.engine is not None
        self.table_of_kernels = measures.kernels(self.engine, self.cuda)
        log.info("%s", self.table_of_kernels)

    def close(self) -> None:
        if self.engine is not None:
            self.engine.close()


def table(row: dict[str, Any]) -> str:
    """The most important numbers as a table."""
    many = f"{row.get('in_flight')} in flight"
    lines = [f"{row['gpu']}, torch {row['torch']}, {row['dtype']}, weights: {row['weights']}"]
    lines += [
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
    others = (
        "first_frame_s",
        "second_start_full_speed_s",
        "worst_gap_while_compiling_ms",
        "prompt_to_picture_p50_ms",
        "prompt_to_picture_p95_ms",
        "plain_stage_ms",
        "words_at_rest_fps",
        "words_fading_fps",
        "share_while_fading",
        "share_of_ceiling",
        "joules_per_frame",
        "peak_resident_gib",
        "peak_allocated_gib",
        "peak_reserved_gib",
        "frames_distinct",
    )
    lines += [f"{name.replace('_', ' '):38} {row[name]}" for name in others if name in row]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    parser.add_argument("--seconds", type=float, default=10.0, help="of the batch-1 measurement")
    parser.add_argument("--profile", action="store_true", help="list the kernels of a frame")
    parser.add_argument("--fades", action="store_true", help="measure fading words only")
    options = parser.parse_args()
    bench = Bench(options)
    parts = [bench.stream, bench.second_start, bench.stages, bench.compile_others]
    parts += [bench.recipe, bench.batches, bench.fades, bench.share_of_ceiling]
    parts += [bench.peak_memory, bench.error_to_fp32]  # the reference in fp32 is not the engine's
    if options.fades:
        parts = [bench.second_start, bench.compile_one, bench.fades]
    for part in [*parts, *([bench.profile] if options.profile else []), bench.close]:
        bench.part(part)
    return bench.end("\n".join((bench.table_of_kernels, table(bench.row))).strip())


if __name__ == "__main__":
    sys.exit(main())
