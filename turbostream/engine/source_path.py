"""The graphs of shots that start from a source, made when the first such shot comes.

They take other inputs than those from noise alone, so they have CUDA streams, staging buffers and
compiled code of their own; a stream without sources pays nothing for them. The engine's thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from turbostream.engine.cuda.background_compiler import BackgroundCompiler, Outcome
from turbostream.engine.cuda.memory_plan import Plan
from turbostream.engine.cuda.parity import PSNR_LIMIT, psnr
from turbostream.engine.cuda.streams import InFlight, Streams
from turbostream.engine.model.inputs import Declaration, Values, fits
from turbostream.engine.model.stable_diffusion import OneStepModel
from turbostream.engine.plain_path import Plain

log = logging.getLogger(__name__)


class SourcePath:
    """Starts submissions of shots with a source, or says that they take the plain path."""

    def __init__(
        self,
        model: OneStepModel,
        size: tuple[int | None, int | None],
        make: Callable[..., Streams],
        choose: Callable[[str, str], None],
    ) -> None:
        """size: (width, height) in pixels of the graphs. make: makes Streams of a plan, a paint, a
        declaration, and the two calls that Streams makes. choose: records a choice; any thread."""
        self._model, self._make, self._choose = model, make, choose
        self._size = size
        self._declaration: Declaration = model.source_inputs(*size)
        self._streams: Streams | None = None
        self._works = bool(self._declaration)
        self._compiles: tuple[Path, Mapping[str, Any]] | None = None
        self.compiler: BackgroundCompiler | None = None

    def compile_in_background(self, folder: Path, options: Mapping[str, Any]) -> None:
        """Compile for these shots too, once there are any; as `LocalEngine`'s."""
        self._compiles = (folder, options)

    def start(self, values: Sequence[Values], plan: Plan) -> InFlight | None:
        """Enqueue one submission; None where its shots take the plain path (another size, shots
        with and without a source, or graphs that do not work here).

        Raises torch.OutOfMemoryError; the caller then closes the streams and comes with another
        plan."""
        if not (self._works and all(fits(one, self._declaration) for one in values)):
            return None
        if self._streams is None:
            self._open(plan, values[0])
        return None if self._streams is None else self._streams.start(values)

    @property
    def streams(self) -> list[Streams]:
        """Those that are open."""
        return [] if self._streams is None else [self._streams]

    def close_streams(self) -> None:
        if self._streams is not None:
            self._streams.close()
        self._streams = None

    def close(self) -> None:
        if self.compiler is not None:
            self.compiler.close()
        self.close_streams()

    def _open(self, plan: Plan, first: Values) -> None:
        """Capture the graphs, and compare their picture of `first` with the plain path's."""
        model = self._model
        try:
            self._streams = self._make(
                plan, model.paint_source, self._declaration, self._request_code, self._refused
            )
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # a card or driver that cannot capture this
            self._give_up(f"no graph can be captured ({str(error).strip().partition(chr(10))[0]})")
            return
        quality = self._quality(self._streams, plan, first)
        if quality < PSNR_LIMIT:
            self._give_up(f"the graphs' picture differs from the plain one ({quality:.0f} dB)")
            return
        self._choose("acceleration_source", "graph: PyTorch's own kernels")
        if self._compiles is not None and self.compiler is None:
            assert model.source is not None
            folder, options = self._compiles
            inputs = model.source.inner_inputs(model.inputs(*self._size))
            self.compiler = BackgroundCompiler(
                model, folder, inputs, self._install, options, source=True
            )
            self.compiler.request(1)

    def _quality(self, streams: Streams, plan: Plan, first: Values) -> float:
        """dB of the worst stream's picture beside the plain path's."""
        (plain,), _ = Plain(self._model).paint([first])
        reference = torch.from_numpy(plain)
        in_flight = [streams.start([first]) for _ in range(plan.streams)]
        worst = min(psnr(torch.from_numpy(one.pixels()[0]), reference) for one in in_flight)
        for one in in_flight:
            one.release()
        return worst

    def _give_up(self, reason: str) -> None:
        log.warning("[gen] shots from a source take the plain path: %s.", reason)
        self._choose("acceleration_source", f"off: {reason}")
        self._works = False
        self.close_streams()

    # -- compiled code ---------------------------------------------------------------------------

    def _request_code(self, batch: int) -> None:
        if self.compiler is not None:
            self.compiler.request(batch)

    def _install(self, outcome: Outcome) -> None:
        """Use the compiled code from each stream's next request on; the compiler's thread."""
        streams, step, source = self._streams, outcome.step, self._model.source
        decode = self._model.decode
        if streams is not None and step is not None and source is not None:
            encode = source.encode

            def paint(source: torch.Tensor, **inputs: torch.Tensor) -> torch.Tensor:
                pixels: torch.Tensor = decode(step(latents=encode(source), **inputs))
                return pixels

            streams.install("compile", outcome.batch, paint)
        self._choose_acceleration(outcome.batch, outcome.choice)

    def _refused(self, batch: int, reason: str) -> None:
        log.warning("[compile] batch %d from a source: %s; keeping the plain graph.", batch, reason)
        self._choose_acceleration(batch, f"graph: Inductor's code could not be captured: {reason}")

    def _choose_acceleration(self, batch: int, choice: str) -> None:
        name = "acceleration_source"
        self._choose(name if batch == 1 else f"{name}_batch_{batch}", choice)
