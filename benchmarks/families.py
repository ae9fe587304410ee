"""A family of models beside diffusers' own pipeline: shots to JPEGs, batch 1.

    python -m benchmarks.families --model sdxl-turbo --steps 1 --random-weights --cache DIR

The engine alone, with words that change with every frame; its code is compiled first, or taken
from --cache. The baseline is the guide's recipe: diffusers' pipeline under torch.compile with the
model's full decoder, in another process that waits while the engine is measured. Rounds of the two
alternate; the engine's rate is of its mean frame time, the baseline's of its median. Prints a
table, then one JSON line. --tiny: the same blocks with narrow layers, to try this on a CPU.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import threading
import time
from typing import Any

import torch

from benchmarks import models
from benchmarks.guide_recipe import Recipe
from benchmarks.report import percentile
from benchmarks.run import Run, add_options
from benchmarks.source_engine import from_words, timed
from turbostream.engine.cuda import aot, background_compiler, compile_cache
from turbostream.engine.local_engine import LocalEngine
from turbostream.engine.model.model import Model
from turbostream.settings import Settings

ROUNDS = 5  # of each, alternating; the medians are reported
MEASURING_S = 60.0  # reserved for measuring after the compilation
LOADING_S = 20.0  # for compiled code to come into use


class FamilyRun(Run):
    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        name = self.folder.name if self.folder else f"random, {options.model}'s architecture"
        self.row |= {"weights": f"{name}, tiny" if options.tiny else name, "steps": options.steps}
        self.engine: LocalEngine | None = None
        self.recipe: Recipe | None = None
        self.compiles = self.cuda and options.acceleration in ("auto", "compile")

    def settings(self) -> Settings:
        return dataclasses.replace(super().settings(), steps=self.options.steps)

    def load(self) -> Any:
        return models.load(
            self.folder, self.device, name=self.options.model, tiny=self.options.tiny
        )

    def start_baseline(self) -> None:
        """It compiles while the engine's code is compiled."""
        options = self.options
        frames = max(5, options.frames // 4)
        self.recipe = Recipe(
            self.folder, options.device, frames, options.steps, options.model, options.tiny
        )
        self.at_end.append(self.recipe.end)

    def compile(self) -> None:
        """Put the code of the one step that all frames take into the cache."""
        model = Model(self.load(), self.device, steps=self.options.steps)
        text = model.inputs(None, None) if model.is_plain(model.own_kind) else None
        if text is not None:
            job = aot.job_of(model.denoise, 1, text, "cuda", self.techniques.inductor)
        else:
            inputs = model.sampler.step_inputs(model.text_inputs(None, None))
            job = aot.job_of(model.sampler.step, 1, inputs, "cuda", self.techniques.inductor)
        model.release()
        del model
        torch.cuda.empty_cache()
        cache = compile_cache.Cache(self.state / "compiled")
        key = compile_cache.key(job.as_json(), self.device.name)
        started = time.perf_counter()
        if cache.find(key) is None:
            stopping = threading.Event()
            timer = threading.Timer(max(0.0, self.left_s() - MEASURING_S), stopping.set)
            timer.daemon = True
            timer.start()
            self.at_end.append(stopping.set)
            background_compiler.compile_apart(job, cache.path(key), stopping)
            cache.seal(key)
            timer.cancel()
        self.note(compile_s=round(time.perf_counter() - started, 1))

    def open_engine(self) -> None:
        self.engine = engine = self.open(self.load())
        for _ in range(2):  # captures the graphs, and asks for their code
            timed(engine, from_words, 1, 4)
        for compiler in engine.compilers:
            self.note(loaded=compiler.wait(1, LOADING_S if "compile_s" in self.row else 1.0))
            compiler.close()  # nothing is compiled while something is timed
        self.note(
            size=list(engine.model.own_size),
            in_flight=engine.depth,
            choices=dict(engine.choices),
        )

    def rounds(self) -> None:
        """Frames per second and milliseconds per frame of both, in alternation."""
        assert self.engine is not None
        if self.recipe is not None and not self.recipe.ready(self.left_s() - MEASURING_S / 2):
            self.note(baseline_failed="it ended, or did not compile in time")
            self.failed = True
            self.recipe.end()
            self.recipe = None
        ours: list[list[float]] = []
        theirs: list[dict[str, float]] = []
        kind = ""
        for _ in range(ROUNDS):
            ms, kind = timed(self.engine, from_words, 1, self.options.frames)
            ours.append(ms)
            if self.recipe is not None:
                found = self.recipe.measure(self.left_s())
                if found is None:
                    raise RuntimeError("the baseline ended or did not answer in time")
                theirs.append(found)
            self.note_medians(ours, theirs, kind)

    def note_medians(
        self, ours: list[list[float]], theirs: list[dict[str, float]], kind: str
    ) -> None:
        """Of the rounds so far, so that a run that is cut off has numbers too."""
        every = [ms for one in ours for ms in one]
        fps = statistics.median(1000 / statistics.mean(one) for one in ours)
        values: dict[str, Any] = {
            "engine": {
                "fps": round(fps, 2),
                "frame_p50_ms": round(statistics.median(every), 3),
                "frame_p95_ms": round(percentile(every, 0.95), 3),
                "kind": kind,
            },
            "rounds": len(ours),
        }
        if theirs:
            middle = {key: statistics.median(one[key] for one in theirs) for key in theirs[0]}
            values["baseline"] = {key: round(value, 3) for key, value in middle.items()}
            values["ratio"] = round(fps / middle["fps"], 2)
        self.note(**values)

    def close(self) -> None:
        if self.engine is not None:
            self.engine.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    parser.add_argument("--steps", type=int, choices=range(1, 5), default=1)
    parser.add_argument("--tiny", action="store_true", help="narrow layers, 64x64 pixels")
    parser.add_argument("--frames", type=int, default=0, help="of each round; default: 200 or 10")
    parser.add_argument("--no-baseline", action="store_true")
    options = parser.parse_args()
    if options.random_weights and options.model not in models.RANDOM:
        parser.error(f"with --random-weights, --model must be one of {', '.join(models.RANDOM)}")
    if options.tiny and not options.random_weights:
        parser.error("--tiny needs --random-weights")
    run = FamilyRun(options)
    options.frames = options.frames or (200 if run.cuda else 10)
    parts = [] if options.no_baseline else [run.start_baseline]
    parts += [run.compile] if run.compiles else []
    for part in [*parts, run.open_engine, run.rounds, run.close]:
        run.part(part)
    named = [name for name in ("engine", "baseline", "ratio") if name in run.row]
    return run.end("\n".join(f"{name:10} {run.row[name]}" for name in named))


if __name__ == "__main__":
    sys.exit(main())
