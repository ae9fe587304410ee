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
from pathlib import Path
from typing import Any

import torch

from turbostream.engine import jpeg
from turbostream.engine.cuda.background_compiler import BackgroundCompiler, Outcome
from turbostream.engine.cuda.graph import Cuda
from turbostream.engine.cuda.memory_plan import BATCHES, Plan, smaller
from turbostream.engine.cuda.parity import PSNR_LIMIT, psnr
from turbostream.engine.cuda.streams import InFlight, Streams
from turbostream.engine.device.cpu_share import CpuShare
from turbostream.engine.joined import joined
from turbostream.engine.model.inputs import Values, fits
from turbostream.engine.model.stable_diffusion import OneStepModel, free_cached_memory
from turbostream.engine.plain_path import Plain
from turbostream.engine.source_path import SourcePath
from turbostream.stream.capabilities import Capabilities
from turbostream.stream.engine_api import EngineClosed, EngineUnusable, Picture
from turbostream.stream.shot import Adapters, Shot, ShotError

log = logging.getLogger(__name__)


class LocalEngine:
    """Renders with as many submissions in flight as `plan` allows; fewer after memory ran out."""

    def __init__(
        self,
        model: OneStepModel,
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
        self._declaration = model.inputs(*size)
        self._kind = "plain"
        self._plain = Plain(model)
        self.source_path = SourcePath(model, size, self.make_streams, self.choose)
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
        self._streams: Streams | None = None
        self.compiler: BackgroundCompiler | None = None
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
        return f"{self._base} {self._kind} batch-1"

    def choose(self, name: str, choice: str) -> None:
        """Record one choice; any thread (the mapping is replaced, never mutated)."""
        self.choices = {**self.choices, name: choice}

    def compile_in_background(self, folder: Path, options: Mapping[str, Any]) -> None:
        """Compile for single shots now and for each other batch size at its first use.

        folder: where the compiled code is cached. options: for Inductor.
        """
        if self._streams is not None:
            self.compiler = BackgroundCompiler(
                self.model, folder, self._declaration, self._install, options
            )
            self.compiler.request(1)
            self.source_path.compile_in_background(folder, options)

    def submit(self, shots: Sequence[Shot]) -> Future[list[Picture]]:
        if self._closed:
            raise EngineClosed("The engine was closed.")
        if len(shots) > self.plan.max_batch and self.plan.streams:
            size = self.plan.max_batch  # smaller since memory ran out: split the submission
            return joined([self.submit(shots[i : i + size]) for i in range(0, len(shots), size)])
        try:
            return self._submit(shots)
        except torch.OutOfMemoryError as error:
            self._step_down(error, self.plan.batch_of(min(len(shots), BATCHES[-1])))
        return self.submit(shots)

    @torch.inference_mode()
    def verify(self, shots: Sequence[Shot]) -> None:
        """Compare the graphs' pictures, with several requests in flight, with the plain path's.

        On the engine's thread. Where they differ, the engine continues on the plain path.
        """
        if self._streams is None:
            return
        in_flight = [self.submit([shot]) for shot in shots]
        for shot, future in zip(shots, in_flight, strict=True):
            plain, _ = self._plain.paint([self.model.values(shot)])
            pair = (future.result()[0].jpeg, jpeg.encode(plain[0], self._quality))
            quality = psnr(*(torch.from_numpy(jpeg.decode(data)) for data in pair))
            if quality < PSNR_LIMIT:
                reason = f"the graphs' picture differs from the plain one ({quality:.0f} dB)"
                log.warning("[init] %s; using the plain path.", reason)
                self.choose("acceleration", f"off: {reason}")
                self._close_streams()
                self._open(Plan(0, 1))
                return

    def close(self) -> None:
        self._closed = True
        if self.compiler is not None:
            self.compiler.close()
        if self._painters is not None:
            self._painters.shutdown(wait=True)
        self._close_streams()
        self.source_path.close()
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
        streams = [*self.source_path.streams, *([self._streams] if self._streams else [])]
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
        """Enqueue the shots; None if they are not of the size and kind that graphs are for."""
        if self._streams is None:
            return None
        if not all(fits(one, self._declaration) for one in values):
            return self.source_path.start(values, self.plan)
        request = self._streams.start(values)
        self._kind = request.kind
        return request

    def _encode(
        self, array: Any, shot: Shot, kind: str, batch: int, stage_ms: dict[str, float]
    ) -> Picture:
        started = time.perf_counter()
        size = self.model.size(shot) if shot.enlarging == "pixels" else None
        data = jpeg.encode(array, self._quality, shot.brightness, size)
        stage_ms = {**stage_ms, "jpeg": (time.perf_counter() - started) * 1000}
        return Picture(data, stage_ms, f"{self._base} {kind} batch-{batch}")

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

    @torch.inference_mode()
    def _open(self, plan: Plan) -> None:
        self.plan = plan
        if not plan.streams:
            self._kind = "plain"
            return
        try:
            self._streams = self.make_streams(
                plan, self.model.paint, self._declaration, self._request_code, self._refused
            )
        except torch.OutOfMemoryError as error:
            self._step_down(error, 1)
            return
        except RuntimeError as error:  # a card or driver that cannot capture this
            reason = str(error).strip().partition("\n")[0]
            log.warning("[init] no graph can be captured (%s); using the plain path.", reason)
            self.choose("acceleration", f"off: no graph can be captured ({reason})")
            self._open(Plan(0, 1))
            return
        self._kind = "graph"
        self._finishers = ThreadPoolExecutor(plan.depth, "finisher")
        self._encoders = ThreadPoolExecutor(jpeg.THREADS, "jpeg")

    def make_streams(self, plan: Plan, *what: Any) -> Streams:
        """The graphs of `plan`; tests override this to use a simulated device. what: the rest of
        what Streams takes."""
        return Streams(Cuda(self.model.hardware.device), plan, *what)

    # -- compiled code ---------------------------------------------------------------------------

    def _request_code(self, batch: int) -> None:
        if self.compiler is not None:
            self.compiler.request(batch)

    def _install(self, outcome: Outcome) -> None:
        """Use the compiled code from each stream's next request on; the compiler's thread."""
        streams, step, decode = self._streams, outcome.step, self.model.decode
        if streams is not None and step is not None:
            streams.install("compile", outcome.batch, lambda **inputs: decode(step(**inputs)))
        self._choose_acceleration(outcome.batch, outcome.choice)

    def _refused(self, batch: int, reason: str) -> None:
        log.warning("[compile] batch %d: %s; keeping the plain graph.", batch, reason)
        self._choose_acceleration(batch, f"graph: Inductor's code could not be captured: {reason}")

    def _choose_acceleration(self, batch: int, choice: str) -> None:
        self.choose("acceleration" if batch == 1 else f"acceleration_batch_{batch}", choice)

    def _close_streams(self) -> None:
        for pool in (self._finishers, self._encoders):
            if pool is not None:
                pool.shutdown(wait=True)
        if self._streams is not None:
            self._streams.close()
        self.source_path.close_streams()
        self._streams = self._finishers = self._encoders = None
