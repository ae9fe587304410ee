"""The engine API: all that the scheduler and the supervisor know of whatever paints.

Declarations only, no torch; any thread.

EngineError
├── EngineUnusable    cannot work until the user changes something; the program exits 2
├── EngineUnavailable cannot work yet; the program tries again
└── EngineClosed      the engine was closed before a shot was painted
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from turbostream.stream.capabilities import Capabilities
from turbostream.stream.shot import Shot, Source
from turbostream.stream.state import Status

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class EngineError(Exception):
    """An engine that does not do what it should; the message is one sentence."""


class EngineUnusable(EngineError):
    """No attempt will help: the message says what the user can change."""


class EngineUnavailable(EngineError):
    """A later attempt may work (no network now): the message says what is waited for."""


class EngineClosed(EngineError):
    """The engine was closed before the pictures were painted."""


@dataclass(frozen=True)
class Picture:
    """What an engine makes of a shot: the JPEG and the milliseconds each stage took.

    fingerprint: of the exact code that painted it, since an engine may install faster code while
    it runs; empty: the engine's own. undimmed: the JPEG at full brightness, for later frames that
    start from it; empty: it is `jpeg`.
    """

    jpeg: bytes
    stage_ms: Mapping[str, float]
    fingerprint: str = ""
    undimmed: bytes = b""


class Engine(Protocol):
    """Turns shots into JPEGs. Loaded, warmed up and called on one thread, the generation thread.

    max_batch: the most shots of one submission. depth: how many submissions keep it busy. Both may
    change while it runs. fingerprint: model and revision, versions, device, acceleration; with a
    shot it gives the same picture again. choices: what was decided about the hardware, each with
    its reason.
    """

    @property
    def max_batch(self) -> int: ...
    @property
    def depth(self) -> int: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def choices(self) -> Mapping[str, str]: ...

    def submit(self, shots: Sequence[Shot]) -> Future[list[Picture]]:
        """Pictures in the order of the shots, which have one `batch_key`. May work before it
        returns, or afterwards."""
        ...

    def close(self) -> None:
        """Release threads and memory; returns within a limited time."""
        ...


@runtime_checkable
class ReadsWords(Protocol):
    """An engine whose model reads only the beginning of a long prompt."""

    def dropped(self, prompt: str) -> str:
        """The end of `prompt` that is not read; empty where all is. Any thread, also after
        `close`."""
        ...


@runtime_checkable
class Declares(Protocol):
    """An engine that states which shots it can paint."""

    @property
    def capabilities(self) -> Capabilities:
        """Shots beyond these fail in `submit`. Any thread, also after `close`."""
        ...


@dataclass(frozen=True)
class WorkerStatus:
    """One of the processes that an engine of several paints in; for /status.

    state: a word. message: one sentence about it, or empty. in_flight: submissions. restarts:
    after it was lost.
    """

    name: str
    node: str
    state: str
    message: str
    in_flight: int
    frames: int
    restarts: int


@runtime_checkable
class HasWorkers(Protocol):
    """An engine that paints in several processes."""

    @property
    def workers(self) -> Sequence[WorkerStatus]: ...


# What may differ between the shots of one submission: whatever becomes a row of an input tensor, or
# is applied to each picture afterwards.
ROWS = {"prompts", "noise", "brightness", "source", "strength", "guidance", "negative"}
_key = attrgetter(*(field.name for field in fields(Shot) if field.name not in ROWS))


def batch_key(shot: Shot) -> object:
    """Shots of equal keys may be submitted together. A field of `Shot` that is not one of ROWS
    keeps shots apart, so that a new field is safe until somebody thinks about it; and so does
    whether there is a source at all, since noise alone needs no encoder, and whether there is
    guidance, which takes twice the work."""
    return shot.source is None, shot.guidance is None, _key(shot)


def dropped_by(engine: Engine | None, prompt: str) -> str:
    """The end of `prompt` that `engine` does not read; empty where it does not say."""
    return engine.dropped(prompt) if isinstance(engine, ReadsWords) else ""


def capabilities_of(engine: Engine | None) -> Capabilities | None:
    """What `engine` can paint; None where it does not say."""
    return engine.capabilities if isinstance(engine, Declares) else None


def workers_of(engine: Engine | None) -> Sequence[WorkerStatus]:
    """Those of `engine`; none where it paints in this process."""
    return engine.workers if isinstance(engine, HasWorkers) else ()


Report = Callable[[Status], None]  # how far a start has come: downloading, loading or compiling
OpenEngine = Callable[[Report], Engine]

# The picture of a source at (width, height) in pixels: uint8 RGB [height, width, 3], C-contiguous,
# only to be read. Raises ShotError with one sentence if the picture is not there, or no longer.
Resolve = Callable[[Source, int, int], "NDArray[np.uint8]"]


class Opener(Protocol):
    """What opens an engine that may be given the pictures of its shots' sources."""

    def __call__(self, report: Report, *, resolve: Resolve | None = None) -> Engine: ...
