"""Image to image beside text to image, through the engine alone: shots to JPEGs.

    python -m benchmarks.source_engine [--random-weights] [--model FOLDER] [--peer FOLDER]

Text to image and image to image alternate in one run, for batch 1 and batch 8. Words change with
every frame of both; strength and the source picture with every frame of image to image. The
pictures are in memory already: decoding them is not the engine's work. On a GPU the code of both
steps is compiled first, all of it at the same time, or taken from --cache. Prints a table, then one
JSON line. --peer: a folder with StreamDiffusion's package (its wheel, unpacked); its image to image
on the same card, with words and strength at rest, since it encodes and prepares on every change.
"""

from __future__ import annotations

import argparse
import importlib
import io
import statistics
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks import measures, models
from benchmarks.report import percentile
from benchmarks.run import Run, add_options
from turbostream.engine.cuda import aot, background_compiler, compile_cache
from turbostream.engine.local_engine import LocalEngine
from turbostream.engine.model.model import Model
from turbostream.stream.engine_api import Picture
from turbostream.stream.shot import EarlierFrame, Shot, Source, great_circle

PICTURES = 64  # different source pictures, in rotation
ROUNDS = 5  # of each kind, alternating; the medians are reported
MEASURING_S = 50.0  # reserved for measuring after the compilation
Make = Callable[[int], Shot]


def from_words(number: int) -> Shot:
    noise = great_circle(number // 40, number // 40 + 1, number % 40 / 40)
    return Shot(measures.fading(number), noise)


def from_picture(number: int) -> Shot:
    """Another strength, from 0.2 to 1, and another picture for each of successive numbers."""
    words = from_words(number)
    strength = round(0.2 + 0.8 * (number * 7 % 311) / 310, 3)
    return Shot(words.prompts, words.noise, EarlierFrame(number % PICTURES + 1), strength)


class Pictures:
    """The resolver: smooth pictures, made once for a size."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, int], list[NDArray[np.uint8]]] = {}

    def __call__(self, source: Source, width: int, height: int) -> NDArray[np.uint8]:
        assert isinstance(source, EarlierFrame)
        if (width, height) not in self._made:
            self._made[width, height] = [self._make(n, width, height) for n in range(PICTURES)]
        return self._made[width, height][source.number - 1]

    @staticmethod
    def _make(number: int, width: int, height: int) -> NDArray[np.uint8]:
        coarse = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        return np.array(smooth)


def timed(engine: LocalEngine, make: Make, batch: int, frames: int) -> tuple[list[float], str]:
    """(milliseconds per frame, between successive completed submissions with `engine.depth` in
    flight, JPEGs included; the kind of graph). The first submissions are warm-up."""
    in_flight: list[Future[list[Picture]]] = []
    completed: list[float] = []
    kind = ""
    for number in range(0, frames + 4 * batch, batch):
        in_flight.append(engine.submit([make(number + n) for n in range(batch)]))
        while len(in_flight) >= engine.depth:
            kind = in_flight.pop(0).result()[0].fingerprint.split()[-2]
            completed.append(time.perf_counter())
    for future in in_flight:
        future.result()
        completed.append(time.perf_counter())
    gaps = zip(completed[4:], completed[5:], strict=False)
    return [(after - before) * 1000 / batch for before, after in gaps], kind


class SourceRun(Run):
    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self.batches = [int(one) for one in options.batches.split(",")]
        self.pictures = Pictures()
        self.engine: LocalEngine | None = None
        self.compiles = self.cuda and options.acceleration in ("auto", "compile")

    def compile_all(self) -> None:
        """Put the code of both steps and of each batch size into the cache."""
        pipe = models.load(self.folder, self.device)
        model = Model(pipe, self.device, resolve=self.pictures)
        text = model.inputs(None, None)
        inner = model.sampler.step_inputs(text)
        steps = ((model.denoise, text), (model.sampler.step, inner))
        jobs = [
            aot.job_of(step, batch, inputs, "cuda", self.techniques.inductor)
            for batch in self.batches
            for step, inputs in steps
        ]
        model.release()
        del pipe, model, steps
        torch.cuda.empty_cache()
        cache = compile_cache.Cache(self.state / "compiled")
        stopping = threading.Event()
        self.at_end.append(stopping.set)

        def compile_one(job: aot.Job) -> None:
            key = compile_cache.key(job.as_json(), self.device.name)
            if cache.find(key) is None:
                background_compiler.compile_apart(job, cache.path(key), stopping)
                cache.seal(key)

        with ThreadPoolExecutor(len(jobs)) as pool:
            made = [pool.submit(compile_one, job) for job in jobs]
            while not all(one.done() for one in made) and self.left_s() > MEASURING_S:
                time.sleep(0.2)
            stopping.set()  # the remaining time is for measuring
        failed = [str(error) for one in made if (error := one.exception()) is not None]
        self.note(compiled=len(jobs) - len(failed), not_compiled=failed)

    def open_engine(self) -> None:
        self.engine = engine = self.open(models.load(self.folder, self.device), self.pictures)
        self.pictures(EarlierFrame(1), *engine.model.own_size)  # makes them
        started = time.perf_counter()
        engine.submit([from_picture(0)]).result()
        first_ms = round((time.perf_counter() - started) * 1000, 1)
        self.note(first_from_picture_ms=first_ms, size=list(engine.model.own_size))
        for batch in self.batches:  # captures the graphs, and asks for their code
            for make in (from_words, from_picture):
                timed(engine, make, batch, 4 * batch)
        patience_s = 2.0 if self.row.get("not_compiled") else 20.0
        for compiler in engine.compilers:
            if compiler is not None:
                self.note(loaded=[compiler.wait(batch, patience_s) for batch in self.batches])
                compiler.close()  # nothing is compiled while something is timed
        self.note(in_flight=engine.depth, choices=dict(engine.choices))

    def rates(self) -> None:
        """Each batch size: the median rates of both, and the median of the rounds' ratios."""
        assert self.engine is not None
        for batch in self.batches:
            frames = self.options.frames * (1 if batch == 1 else 2)
            found: dict[str, list[list[float]]] = {"words": [], "picture": []}
            kinds = {}
            for _ in range(ROUNDS):
                for name, make in (("words", from_words), ("picture", from_picture)):
                    ms, kinds[name] = timed(self.engine, make, batch, frames)
                    found[name].append(ms)
            ratio = statistics.median(
                statistics.mean(words) / statistics.mean(picture)
                for words, picture in zip(*found.values(), strict=True)
            )
            for name, rounds in found.items():
                every = [ms for one in rounds for ms in one]
                self.note(
                    **{
                        f"batch{batch}_from_{name}": {
                            "fps": round(
                                statistics.median(1000 / statistics.mean(r) for r in rounds), 1
                            ),
                            "frame_p50_ms": round(statistics.median(every), 3),
                            "frame_p95_ms": round(percentile(every, 0.95), 3),
                            "kind": kinds[name],
                        }
                    }
                )
            self.note(**{f"batch{batch}_share": round(ratio, 3)})

    @torch.inference_mode()
    def stages(self) -> None:
        """Milliseconds of the device's work by part: graphs of PyTorch's kernels on a GPU."""
        assert self.engine is not None
        model = self.engine.model
        assert model.pictures is not None
        place = self.device.device
        values = model.values(from_picture(1))
        model.synchronize()
        inputs = {name: value.tensor[None].to(place) for name, value in values.items()}
        text = {name: inputs[name] for name in ("noise", "prompt_embedding")}
        latents = model.denoise(**text)
        parts: dict[str, tuple[Any, dict[str, Any]]] = {
            "encode": (model.pictures.encode, {"source": inputs["source"]}),
            "denoise_words": (model.denoise, text),
            "encode_and_denoise_picture": (model.sampler.sampling, inputs),
            "decode": (model.decode, {"latents": latents}),
        }
        found = {}
        for name, (call, given) in parts.items():
            if self.cuda:
                ms = measures.graphs_ms(call, given, 1)
            else:
                ms = measures.median_ms(lambda call=call, given=given: call(**given), "cpu")
            found[name] = round(ms, 3)
        self.note(stage_ms=found)

    def peer(self) -> None:
        """StreamDiffusion's image to image with the tiny autoencoder, words and strength at rest:
        picture in, JPEG out, one after the other as its own examples do."""
        assert self.engine is not None
        sys.path.insert(0, self.options.peer)
        stream_diffusion: Any = importlib.import_module("streamdiffusion").StreamDiffusion
        width, height = self.engine.model.own_size
        self.engine.close()
        pipe = models.load(self.folder, self.device)
        stream = stream_diffusion(
            pipe, [25], self.device.dtype, width, height, do_add_noise=False, cfg_type="none"
        )
        stream.prepare("a red star", num_inference_steps=50, guidance_scale=0.0)
        taken = []
        for number in range(self.options.frames // 2 + 10):
            started = time.perf_counter()
            source = self.pictures(EarlierFrame(number % PICTURES + 1), width, height)
            painted = stream(Image.fromarray(source))
            pixels = ((painted[0] / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
            Image.fromarray(pixels.cpu().numpy()).save(io.BytesIO(), "JPEG", quality=85)
            taken.append((time.perf_counter() - started) * 1000)
        ms = taken[10:]
        self.note(
            peer={
                "fps": round(1000 / statistics.mean(ms), 1),
                "frame_p50_ms": round(statistics.median(ms), 2),
                "frame_p95_ms": round(percentile(ms, 0.95), 2),
            }
        )

    def close(self) -> None:
        if self.engine is not None:
            self.engine.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    parser.add_argument("--frames", type=int, default=0, help="of each round; default: 400 or 10")
    parser.add_argument("--batches", default="1,8", help="sizes of the submissions")
    parser.add_argument("--peer", help="a folder with StreamDiffusion's package")
    options = parser.parse_args()
    run = SourceRun(options)
    options.frames = options.frames or (400 if run.cuda else 10)
    parts = [run.compile_all] if run.compiles else []
    parts += [run.open_engine, run.rates, run.stages]
    parts += [run.peer] if options.peer else []
    for part in [*parts, *([] if options.peer else [run.close])]:
        run.part(part)
    named = [name for name in run.row if name.startswith("batch") or name in ("stage_ms", "peer")]
    return run.end("\n".join(f"{name:24} {run.row[name]}" for name in named))


if __name__ == "__main__":
    sys.exit(main())
