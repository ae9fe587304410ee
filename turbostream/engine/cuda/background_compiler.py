"""The background compiler: compiles the step with Inductor for each batch size during streaming.

One thread takes batch sizes from a queue. For each it gets the compiled code from the cache or
from a compiling process (which does not hold this process's GIL, and may crash), loads it, runs
it once, compares it with the plain step and reports the outcome. It must not know the engine: the
receiver of the report installs the code between two frames. A failure is one log line and one
report, and the stream continues unchanged.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from turbostream.engine.cuda import aot, compile_cache, parity
from turbostream.engine.model.inputs import Declaration, Paint, batched
from turbostream.engine.model.model import Model
from turbostream.engine.model.steps import predicted

log = logging.getLogger(__name__)

COMPILE_LIMIT_S = 900.0
POLL_S = 0.1
COMPARE_AGAIN_S = 1.0
ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Outcome:
    """The result of compiling for one batch size.

    step: maps the inputs to latents; None if there is no compiled code. choice: "kind: reason",
    for /status.
    """

    batch: int
    choice: str
    step: Paint | None = None


class CompileFailed(Exception):
    """There is no compiled code; the message is one clause that says why."""


class BackgroundCompiler:
    """Compiles for `model`, one batch size at a time, on its own thread."""

    def __init__(
        self,
        model: Model,
        folder: Path,
        size: tuple[int | None, int | None],
        report: Callable[[Outcome], None],
        options: Mapping[str, Any] | None = None,
        timed: bool = False,
    ) -> None:
        """size: (width, height) of pictures in pixels; None is the model's own. report: called once
        per batch size, on the compiler's thread. options: for Inductor. timed: compile the
        sampler's step, at each shot's own timestep, instead of `denoise`."""
        self._timed, self._kind = timed, " of steps at any timestep" if timed else ""
        self._model, self._cache = model, compile_cache.Cache(folder)
        text = model.text_inputs(*size)
        self._inputs: Declaration = model.sampler.step_inputs(text) if timed else text
        self._report, self._options = report, options
        self._requested: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._tried: dict[int, threading.Event] = {}
        self._thread = threading.Thread(target=self._run, name="compiler", daemon=True)
        self._thread.start()

    def request(self, batch: int) -> None:
        """Queue this batch size unless it was queued before; the engine's thread."""
        if batch not in self._tried:
            self._tried[batch] = threading.Event()
            self._requested.put(batch)

    def wait(self, batch: int, timeout_s: float = COMPILE_LIMIT_S) -> bool:
        """Wait until compiling for this batch size has succeeded or failed; False on timeout."""
        return self._tried[batch].wait(timeout_s)

    def close(self, timeout_s: float = 1.0) -> bool:
        """Stop; True if the thread ended in time (it may be loading a package)."""
        self._stopping.set()
        self._requested.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # Asked of the model each time: once it is released, nothing here keeps its weights.

    @property
    def _denoise(self) -> aot.Step:
        return self._model.sampler.step if self._timed else self._model.denoise

    def _run(self) -> None:
        while (batch := self._requested.get()) is not None:
            try:
                self._report(self._make(batch))
            except Exception as error:  # a compiler may raise anything; the stream must continue
                if self._stopping.is_set():
                    return
                reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
                log.warning(
                    "[compile] batch %d%s: %s; keeping the plain graph.", batch, self._kind, reason
                )
                self._report(Outcome(batch, f"graph: Inductor's code was rejected: {reason}"))
            finally:
                self._tried[batch].set()

    def _make(self, batch: int) -> Outcome:
        """Compile or load the code for `batch` and check it."""
        started = time.perf_counter()
        model = self._model
        device = model.hardware.device.type
        job = aot.job_of(self._denoise, batch, self._inputs, device, self._options)
        key = compile_cache.key(job.as_json(), model.hardware.name)
        path = self._cache.find(key)
        origin = "from the cache" if path is not None else "compiled in the background"
        if path is None:
            path = self._cache.path(key)
            compile_apart(job, path, self._stopping)
            self._cache.seal(key)
        try:
            loading = time.perf_counter()
            call = aot.load(path, self._denoise, self._inputs)
            log.info("[compile] batch %d: loaded in %.0f ms", batch, _ms_since(loading))
            merges, refusal = model.loras.merges, self._compare(call, batch)
            while refusal is not None and model.loras.merges != merges:
                # The two steps may have run with different weights.
                if self._stopping.wait(COMPARE_AGAIN_S):
                    raise CompileFailed("the compiler was stopped")
                merges, refusal = model.loras.merges, self._compare(call, batch)
        except Exception:
            self._cache.discard(key)
            raise
        if refusal is not None:
            self._cache.discard(key)
            raise CompileFailed(refusal)
        log.info(
            "[compile] batch %d%s: Inductor's code %s, compared with the plain step, in %.1f s",
            batch,
            self._kind,
            origin,
            time.perf_counter() - started,
        )
        return Outcome(batch, f"compile: Inductor's code under the graph, {origin}", call)

    @torch.inference_mode()
    def _compare(self, call: Paint, batch: int) -> str | None:
        """The parity check's refusal, or None; on a separate CUDA stream.

        Running the code also loads every kernel.
        """
        model = self._model
        generator = torch.Generator().manual_seed(0)
        place = model.hardware.device
        inputs = batched(
            self._inputs,
            batch,
            lambda shape, dtype: torch.randn(shape, generator=generator).to(place, dtype),
        )
        stream: Any = torch.cuda.Stream() if place.type == "cuda" else None
        with torch.cuda.stream(stream):
            inputs |= self._timing(batch)  # stacked on the device, so on the stream that reads it
            # The plain step first: operator by operator, it creates this thread's cuBLAS handles
            # and cuDNN plans. The compiled step is one call that holds the GIL, and so stops the
            # stream, from its first kernel to its last.
            plain = self._denoise(**inputs)
            started = time.perf_counter()
            fast = call(**inputs)
            log.info("[compile] batch %d: first run %.0f ms", batch, _ms_since(started))
            pictures = model.decode(fast), model.decode(plain)
            if self._timed:
                said = predicted(fast, inputs), predicted(plain, inputs)
                return parity.refusal_of(*said, *pictures)
            return parity.refusal(fast, plain, inputs["noise"], model.schedule, *pictures)

    def _timing(self, batch: int) -> dict[str, torch.Tensor]:
        """The inputs of a sampler's step that are not any numbers: another step for each shot."""
        if not self._timed:
            return {}
        sampler = self._model.sampler
        most = sampler.table.counts[-1]
        shots = [
            sampler.step_values(sampler.table.from_picture(most, (number + 1) / (batch + 1)), 0)
            for number in range(batch)
        ]
        for value in shots[0].values():
            if value.ready is not None:
                value.ready.synchronize()
        place = self._model.hardware.device
        return {
            name: torch.stack([shot[name].tensor.to(place) for shot in shots]) for name in shots[0]
        }


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


def compile_apart(job: aot.Job, path: Path, stopping: threading.Event) -> None:
    """Compile `job` into `path` in another process; CompileFailed quotes its last output line."""
    command = [sys.executable, "-m", "turbostream.engine.cuda.aot"]
    if nice := shutil.which("nice"):  # the stream has priority
        command = [nice, "-n", "10", *command]
    threads = max(1, min(8, (os.cpu_count() or 2) // 2))
    order = json.dumps({"path": str(path), "threads": threads, "job": job.as_json()})
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        lines: list[str] = []
        assert process.stdin is not None
        assert process.stderr is not None
        reader = threading.Thread(
            target=lambda stderr: lines.extend(stderr), args=(process.stderr,), daemon=True
        )
        reader.start()
        process.stdin.write(order)
        process.stdin.close()
        deadline = time.monotonic() + COMPILE_LIMIT_S
        while process.poll() is None:
            if stopping.wait(POLL_S) or time.monotonic() > deadline:
                process.kill()
                process.wait()
                raise CompileFailed("the compiler was stopped")
        reader.join(1.0)
        if process.returncode < 0:
            name = signal.Signals(-process.returncode).name
            raise CompileFailed(f"the compiler, or the first run of its code, ended by {name}")
        output = [line.strip() for line in lines if line.strip()]
        last = output[-1][:300] if output else f"exit status {process.returncode}"
        if process.returncode != 0:
            raise CompileFailed(f"the compiler failed: {last}")
        log.info("[compile] batch %d: %s", job.batch, last)
