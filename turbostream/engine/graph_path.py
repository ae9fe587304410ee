"""The CUDA graphs of one kind of shots: a number of steps, from noise alone or from a picture.

Each kind takes other inputs, so it has CUDA streams, staging buffers and graphs of its own; they
are made when its first shot comes, and a stream without such shots pays nothing for them. Compiled
code is shared: `Denoise` by one kind, one step of `sampler` by all others. The engine's thread,
except where noted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

import torch

from turbostream.engine.cuda.background_compiler import BackgroundCompiler, Outcome
from turbostream.engine.cuda.memory_plan import Plan
from turbostream.engine.cuda.parity import PSNR_LIMIT, psnr
from turbostream.engine.cuda.streams import InFlight, Streams
from turbostream.engine.model.inputs import Values, fits
from turbostream.engine.model.model import Kind, Model
from turbostream.engine.plain_path import Plain

log = logging.getLogger(__name__)

Report = Callable[[Outcome], None]


class SharedCode:
    """Compiled code of one module by batch size, for every path that uses the module."""

    def __init__(self, start: Callable[[Report], BackgroundCompiler]) -> None:
        """start: makes the compiler, which reports on its own thread."""
        self._start = start
        self._outcomes: dict[int, Outcome] = {}
        self._installs: tuple[Report, ...] = ()
        self.compiler: BackgroundCompiler | None = None

    def request(self, batch: int) -> None:
        if self.compiler is None:
            self.compiler = self._start(self._report)
        self.compiler.request(batch)

    def join(self, install: Report) -> None:
        """Call `install` with what there is, and with what is reported later on, perhaps twice and
        on the compiler's thread."""
        if install not in self._installs:
            self._installs = (*self._installs, install)
        for outcome in list(self._outcomes.values()):
            install(outcome)

    def close(self) -> None:
        if self.compiler is not None:
            self.compiler.close()

    def _report(self, outcome: Outcome) -> None:
        self._outcomes[outcome.batch] = outcome
        for install in self._installs:
            install(outcome)


class GraphPath:
    """Starts submissions of one kind, or says that they take the plain path."""

    def __init__(
        self,
        model: Model,
        kind: Kind,
        size: tuple[int | None, int | None],
        make: Callable[..., Streams],
        choose: Callable[[str, str], None],
    ) -> None:
        """size: (width, height) in pixels of the graphs. make: makes Streams of a plan, a paint, a
        declaration, and the two calls that Streams makes. choose: records a choice; any thread."""
        self._model, self._make, self._choose = model, make, choose
        self._declaration = model.inputs(*size, kind)
        self._name = name_of(kind, model.own_kind)
        self._copies = 2 if kind.guided else 1  # of each shot, in the batch of compiled code
        self._streams: Streams | None = None
        self._code: SharedCode | None = None
        self.works = True
        self.kind = "plain"  # of the last submission: plain, graph or compile

    @property
    def is_open(self) -> bool:
        return self._streams is not None

    @property
    def streams(self) -> list[Streams]:
        """Those that are open."""
        return [] if self._streams is None else [self._streams]

    def open(self, plan: Plan, values: Sequence[Values] = ()) -> None:
        """Capture the graphs, and `verify` them with these shots.

        Gives up where the card or driver cannot capture them. Raises torch.OutOfMemoryError; the
        caller then closes the streams and comes with another plan."""
        try:
            self._streams = self._make(
                plan, self._model.paint, self._declaration, self._request_code, self._refused
            )
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = str(error).strip().partition("\n")[0]
            self.give_up(f"no graph can be captured ({reason})")
            return
        self.kind = "graph"
        self.verify(values)
        if self._code is not None:
            self.compile(self._code)

    def verify(self, values: Sequence[Values]) -> None:
        """Compare the graphs' pictures, all in flight at once, with the plain path's, and give up
        where they differ. At most as many shots as the plan's depth."""
        if self._streams is None:
            return
        in_flight = [self._streams.start([one]) for one in values]
        worst = float("inf")
        for one, request in zip(values, in_flight, strict=True):
            (plain,), _ = Plain(self._model).paint([one])
            picture = torch.from_numpy(request.pixels()[0])
            worst = min(worst, psnr(picture, torch.from_numpy(plain)))
            request.release()
        if worst < PSNR_LIMIT:
            self.give_up(f"the graphs' picture differs from the plain one ({worst:.0f} dB)")

    def start(self, values: Sequence[Values], plan: Plan) -> InFlight | None:
        """Enqueue one submission; None where its shots take the plain path (another size, or graphs
        that do not work here). Raises torch.OutOfMemoryError, as `open`."""
        if not (self.works and all(fits(one, self._declaration) for one in values)):
            return None
        if self._streams is None:
            log.info("[gen] %s: capturing graphs for the first such shot.", self._name)
            self._choose(self._name, "plain: its graphs are being captured")
            self.open(plan, [values[0]] * plan.streams)
            if self._streams is None:
                return None
            self._choose(self._name, "graph: PyTorch's own kernels")
        request = self._streams.start(values)
        self.kind = request.kind
        return request

    def give_up(self, reason: str) -> None:
        log.warning("[init] %s: %s; using the plain path.", self._name, reason)
        self._choose(self._name, f"off: {reason}")
        self.works = False
        self.close()

    def close(self) -> None:
        """Free the graphs. They are made again when they are needed."""
        if self._streams is not None:
            self._streams.close()
        self._streams = None
        self.kind = "plain"

    # -- compiled code ---------------------------------------------------------------------------

    def compile(self, code: SharedCode) -> None:
        """Use this code where there is any, and ask for more at each batch size's first use; once
        the graphs are open."""
        self._code = code
        if self._streams is not None:
            code.request(self._copies)
            code.join(self.install)

    def install(self, outcome: Outcome) -> None:
        """Use the compiled code from each stream's next request on; any thread."""
        streams, step = self._streams, outcome.step
        batch, rest = divmod(outcome.batch, self._copies)
        if streams is None or rest or batch > streams.plan.max_batch:
            return  # code that another kind of shots asked for
        if step is not None:
            streams.install("compile", batch, partial(self._model.paint_by, step))
        self._choose_for(batch, outcome.choice)

    def _request_code(self, batch: int) -> None:
        if self._code is not None:
            self._code.request(batch * self._copies)

    def _refused(self, batch: int, reason: str) -> None:
        log.warning(
            "[compile] %s, batch %d: %s; keeping the plain graph.", self._name, batch, reason
        )
        self._choose_for(batch, f"graph: Inductor's code could not be captured: {reason}")

    def _choose_for(self, batch: int, choice: str) -> None:
        self._choose(self._name if batch == 1 else f"{self._name}_batch_{batch}", choice)


def name_of(kind: Kind, own: Kind) -> str:
    """The name of a kind's choice in /status: `acceleration` for the model's own kind."""
    name = "acceleration"
    if kind.steps != own.steps:
        name += f"_{kind.steps}_step{'s' if kind.steps > 1 else ''}"
    return name + ("_source" if kind.source else "") + ("_guidance" if kind.guided else "")
