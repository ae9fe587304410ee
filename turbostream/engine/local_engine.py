"""The engine on this machine's own device: shots in, JPEGs out.

The generation thread opens and calls it; prompt encoding, noise and launches happen there. Small
thread pools wait for the device and encode the JPEGs while the next submission is in flight. On a
CPU, painters paint several frames side by side; where GPU memory allows nothing else, `submit` does
all the work before it returns. Must not know channels, viewers or pace.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from turbostream.engine import jpeg
from turbostream.engine.cuda.background_compiler import BackgroundCompiler
from turbostream.engine.cuda.graph import Cuda
from turbostream.engine.cuda.memory_plan import BATCHES, Plan, smaller
from turbostream.engine.cuda.streams import InFlight, Streams
from turbostream.engine.device.cpu_share import CpuShare
from turbostream.engine.graph_path import GraphPath, Report, SharedCode
from turbostream.engine.joined import joined
from turbostream.engine.model.inputs import Values
from turbostream.engine.model.model import Kind, Model, free_cached_memory
from turbostream.engine.plain_path import Plain
from turbostream.stream.capabilities import Capabilities
from turbostream.stream.engine_api import EngineClosed, EngineUnusable, Picture
from turbostream.stream.shot import Adapters, Shot, ShotError

log = logging.getLogger(__name__)


class LocalEngine:
    """Renders with as many submissions in flight as `plan` allows; fewer after memory ran out."""

    def __init__(
        self,
        model: Model,
        quality: int,
        fingerprint: str,
        plan: Plan,
        size: tuple[int | None, int | None] = (None, None),
        choices: Mapping[str, str] | None = None,
        share: CpuShare | None = None,
    ) -> None:
        """size: (width, height) in pixels of the graphs; other sizes take the plain path. share: of
        a CPU; None where the device is another, or the caller's thread paints."""
        self.model = model
        self.choices: Mapping[str, str] = dict(choices or {})
        # Part of the engine API (ReadsWords); still usable after the model is released.
        self.dropped = model.encode_prompt.limit.dropped
        self._base, self._quality = fingerprint, quality
        self._size = size
        self._plain = Plain(model)
        self._own = model.own_kind
        self._paths: dict[Kind, GraphPath] = {}
        self._codes: dict[bool, SharedCode] = {}  # by whether the code is for `denoise`
        self._compiles: tuple[Path, Mapping[str, Any]] | None = None
        self._closed = False
        self._painters: ThreadPoolExecutor | None = None
        self._painting: list[Future[list[Picture]]] = []  # that may not be finished
        self._spare = 0  # submissions beyond those of `plan`
        if share is not None:
            self._painters = ThreadPoolExecutor(
                share.painters, "painter", torch.set_num_threads, (share.threads,)
            )
            self._spare = share.painters if share.painters > 1 else 0
        self.plan = plan
        self._finishers: ThreadPoolExecutor | None = None
        self._encoders: ThreadPoolExecutor | None = None
        self._open(plan)

    @property
    def max_batch(self) -> int:
        return self.plan.max_batch

    @property
    def depth(self) -> int:
        return self.plan.depth + self._spare

    @property
    def capabilities(self) -> Capabilities:
        """What it honours of a shot; `submit` raises ShotError for a shot that asks for more."""
        return self.model.capabilities

    @property
    def fingerprint(self) -> str:
        """The fingerprint of a single shot rendered now; each picture carries its own."""
        return f"{self._base} {self.path(self._own).kind} batch-1"

    @property
    def compilers(self) -> list[BackgroundCompiler]:
        return [code.compiler for code in self._codes.values() if code.compiler is not None]

    @property
    def compiler(self) -> BackgroundCompiler | None:
        """That of shots without a source that ask for no number of steps."""
        code = self._codes.get(self.model.is_plain(self._own))
        return None if code is None else code.compiler

    def choose(self, name: str, choice: str) -> None:
        """Record one choice; any thread (the mapping is replaced, never mutated)."""
        self.choices = {**self.choices, name: choice}

    def compile_in_background(self, folder: Path, options: Mapping[str, Any]) -> None:
        """Compile for single shots now and for each other batch size at its first use.

        folder: where the compiled code is cached. options: for Inductor.
        """
        self._compiles = (folder, options)
        for kind in self._paths:
            self._compile(kind)

    def submit(self, shots: Sequence[Shot]) -> Future[list[Picture]]:
        if self._closed:
            raise EngineClosed("The engine was closed.")
        if len(shots) > self.plan.max_batch and self.plan.streams:
            size = self.plan.max_batch  # smaller since memory ran out: split the submission
            return joined([self.submit(shots[i : i + size]) for i in range(0, len(shots), size)])
        if len(shots) > 1 and self.plan.streams:  # strengths may differ in how many steps they take
            alike = [list(group) for _, group in groupby(shots, self.model.kind_of)]
            if len(alike) > 1:
                return joined([self.submit(group) for group in alike])
        try:
            return self._submit(shots)
        except torch.OutOfMemoryError as error:
            if not self._close_idle(self.model.kind_of(shots[0])):
                self._step_down(error, self.plan.batch_of(min(len(shots), BATCHES[-1])))
        return self.submit(shots)

    @torch.inference_mode()
    def verify(self, shots: Sequence[Shot]) -> None:
        """Compare the graphs' pictures, with several requests in flight, with the plain path's.

        On the engine's thread. Where they differ, the engine continues on the plain path.
        """
        path = self.path(self._own)
        path.verify([self.model.values(shot) for shot in shots])
        if not path.works and self.plan.streams:
            self._close_streams()
            self._open(Plan(0, 1))

    def close(self) -> None:
        self._closed = True
        for code in self._codes.values():
            code.close()
        if self._painters is not None:
            self._painters.shutdown(wait=True)
        self._close_streams()
        self.model.release()

    # -- the engine's thread ---------------------------------------------------------------------

    @torch.inference_mode()
    def _submit(self, shots: Sequence[Shot]) -> Future[list[Picture]]:
        started = time.perf_counter()
        self._merge(shots[0].adapters)  # those of all: part of their batch key
        values = [self.model.values(shot) for shot in shots]
        text_ms = (time.perf_counter() - started) * 1000
        request = self._start(values)
        if request is not None:
            assert self._finishers is not None
            return self._finishers.submit(self._finish, request, shots, text_ms)
        if self._painters is not None:
            painting = self._painters.submit(self._paint_plainly, values, shots, text_ms)
            self._painting = [one for one in self._painting if not one.done()] + [painting]
            return painting
        done: Future[list[Picture]] = Future()
        done.set_result(self._paint_plainly(values, shots, text_ms))
        return done

    def _merge(self, adapters: Adapters) -> None:
        """Merge the LoRAs of the next shots, between the work in flight and theirs: painters have
        to finish, and the CUDA streams wait for each other, not this thread for them."""
        if adapters == self.model.loras.merged:
            return
        for name, _ in adapters:
            if name not in self.model.loras.names:
                raise ShotError(f"The shot uses the adapter {name[:40]!r}, which is not loaded.")
        wait(self._painting)
        streams = [one for path in self._paths.values() for one in path.streams]
        self.model.merge(adapters, [end for one in streams for end in one.ends()])
        for one in streams if self.model.merged_at is not None else ():
            one.continue_after(self.model.merged_at)

    def _paint_plainly(
        self, values: Sequence[Values], shots: Sequence[Shot], text_ms: float
    ) -> list[Picture]:
        arrays, stage_ms = self._plain.paint(values)
        stage_ms = {"text": text_ms, **stage_ms}
        return [
            self._encode(array, shot, "plain", 1, stage_ms)
            for array, shot in zip(arrays, shots, strict=True)
        ]

    def _start(self, values: Sequence[Values]) -> InFlight | None:
        """Enqueue the shots; None if they take the plain path."""
        if not self.plan.streams:
            return None
        kind = Kind.of({name: value.tensor for name, value in values[0].items()})
        return self.path(kind).start(values, self.plan)

    def _encode(
        self, array: Any, shot: Shot, kind: str, batch: int, stage_ms: dict[str, float]
    ) -> Picture:
        started = time.perf_counter()
        size = self.model.size(shot) if shot.enlarging == "pixels" else None
        data = jpeg.encode(array, self._quality, shot.brightness, size)
        undimmed = b""
        if shot.brightness != 1 and self.model.capabilities.sources:
            undimmed = jpeg.encode(array, self._quality, 1.0, size)
        stage_ms = {**stage_ms, "jpeg": (time.perf_counter() - started) * 1000}
        return Picture(data, stage_ms, f"{self._base} {kind} batch-{batch}", undimmed)

    def _finish(self, request: InFlight, shots: Sequence[Shot], text_ms: float) -> list[Picture]:
        """On a finisher thread: wait for the device, then encode."""
        assert self._encoders is not None
        try:
            started = time.perf_counter()
            arrays = request.pixels()
            stage_ms = {"text": text_ms, "paint": (time.perf_counter() - started) * 1000}
            rest = (request.kind, request.batch, stage_ms)
            if len(arrays) == 1:
                return [self._encode(arrays[0], shots[0], *rest)]
            encoded = [
                self._encoders.submit(self._encode, array, shot, *rest)
                for array, shot in zip(arrays, shots, strict=True)
            ]
            return [one.result() for one in encoded]
        finally:
            request.release()

    # -- memory ----------------------------------------------------------------------------------

    def _step_down(self, error: torch.OutOfMemoryError, batch: int) -> None:
        """Continue with the next smaller plan; EngineUnusable if there is none."""
        plan = smaller(self.plan, batch)
        self._close_streams()
        free_cached_memory(self.model.hardware.device.type)
        if plan is None:
            raise EngineUnusable(
                "GPU memory is too small even for one frame at a time; end other programs that use "
                "it, or choose a smaller WIDTH and HEIGHT."
            ) from error
        log.warning("[gen] out of GPU memory; continuing with %s.", plan)
        self.choose("memory", f"{plan}: a larger plan did not fit into GPU memory")
        self._open(plan)

    def _close_idle(self, needed: Kind) -> bool:
        """Free the graphs of other kinds than this one and the model's own; whether there were
        any."""
        idle = [
            path
            for kind, path in self._paths.items()
            if path.is_open and kind not in (needed, self._own)
        ]
        for path in idle:
            path.close()
        free_cached_memory(self.model.hardware.device.type)
        return bool(idle)

    @torch.inference_mode()
    def _open(self, plan: Plan) -> None:
        self.plan = plan
        path = self.path(self._own)
        if not plan.streams:
            return
        try:
            path.open(plan)
        except torch.OutOfMemoryError as error:
            self._step_down(error, 1)
            return
        if not path.works:
            self._open(Plan(0, 1))
            return
        self._finishers = ThreadPoolExecutor(plan.depth, "finisher")
        self._encoders = ThreadPoolExecutor(jpeg.THREADS, "jpeg")

    def make_streams(self, plan: Plan, *what: Any) -> Streams:
        """The graphs of `plan`; tests override this to use a simulated device. what: the rest of
        what Streams takes."""
        return Streams(Cuda(self.model.hardware.device), plan, *what)

    def path(self, kind: Kind) -> GraphPath:
        """The graphs of this kind, which may not be open yet."""
        if kind not in self._paths:
            self._paths[kind] = GraphPath(
                self.model, kind, self._size, self.make_streams, self.choose
            )
            self._compile(kind)
        return self._paths[kind]

    # -- compiled code ---------------------------------------------------------------------------

    def _compile(self, kind: Kind) -> None:
        if self._compiles is None or not self.plan.streams:
            return
        plain = self.model.is_plain(kind)
        if plain not in self._codes:
            self._codes[plain] = SharedCode(partial(self._start_compiler, plain))
        self._paths[kind].compile(self._codes[plain])

    def _start_compiler(self, plain: bool, report: Report) -> BackgroundCompiler:
        assert self._compiles is not None
        folder, options = self._compiles
        return BackgroundCompiler(self.model, folder, self._size, report, options, timed=not plain)

    def _close_streams(self) -> None:
        for pool in (self._finishers, self._encoders):
            if pool is not None:
                pool.shutdown(wait=True)
        for path in self._paths.values():
            path.close()
        self._finishers = self._encoders = None
