"""What runs in each worker: the local engine, behind an actor of Ray's.

The engine is opened and called on a thread of its own, so that the actor's event loop answers
while it loads and paints. Knows no channel, no queue and no other worker.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from turbostream.engine.weights import Weights
from turbostream.engine.weights.token_limit import TokenLimit
from turbostream.settings import Settings
from turbostream.stream.capabilities import Capabilities
from turbostream.stream.engine_api import Picture
from turbostream.stream.shot import Shot, ShotError, Source

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EngineState:
    """What may change while an engine runs; see `engine_api.Engine`."""

    fingerprint: str
    choices: Mapping[str, str]
    max_batch: int
    depth: int


@dataclass(frozen=True)
class Facts:
    """What an open engine says of itself, once.

    node: address and the first digits of Ray's id. own_size: (width, height) in pixels of shots
    that ask for none. limit: how much of a prompt its model reads.
    """

    node: str
    pid: int
    capabilities: Capabilities
    own_size: tuple[int, int]
    limit: TokenLimit
    state: EngineState


class PaintingActor:
    """The engine of one GPU, or of a share of a node's cores."""

    def __init__(self, settings: Settings, weights: Weights, sharing: int) -> None:
        """sharing: how many workers share the cores of this node."""
        self._what = replace(settings, engine="local"), weights
        self._sharing = sharing
        self._engine: Any = None
        self._pixels: Mapping[Source, Any] = {}
        self._thread = ThreadPoolExecutor(1, "generation")
        self._opening: Future[Facts] = self._thread.submit(self._open)

    async def opened(self) -> Facts:
        """Wait until the engine is open; if it failed the last time, it is opened again. Raises
        what `open_engine` raises."""
        if self._opening.done() and self._opening.exception() is not None:
            self._opening = self._thread.submit(self._open)
        return await asyncio.wrap_future(self._opening)

    async def stay(self) -> None:
        """Never returns: it fails when this process, its node or the way to it is lost."""
        await asyncio.get_running_loop().create_future()

    async def paint(
        self, shots: Sequence[Shot], sources: Sequence[Source], *pixels: Any
    ) -> tuple[list[Picture], EngineState]:
        """As `Engine.submit`. pixels: of each of `sources`, uint8 RGB [H, W, 3]."""
        loop = asyncio.get_running_loop()
        given = dict(zip(sources, pixels, strict=True))
        painting = await loop.run_in_executor(self._thread, self._submit, shots, given)
        pictures = await asyncio.wrap_future(painting)
        return pictures, self._state()

    def _submit(self, shots: Sequence[Shot], pixels: Mapping[Source, Any]) -> Future[list[Picture]]:
        self._pixels = pixels  # the engine resolves sources before `submit` returns
        painting: Future[list[Picture]] = self._engine.submit(shots)
        return painting

    def _resolve(self, source: Source, width: int, height: int) -> Any:
        found = self._pixels.get(source)
        if found is None or found.shape != (height, width, 3):
            raise ShotError("The picture of the shot's source did not arrive with it.")
        return found

    def _open(self) -> Facts:
        import ray

        from turbostream.engine import open_engine

        settings, weights = self._what
        self._engine = open_engine(
            settings, weights, lambda status: None, self._resolve, self._sharing
        )
        context = ray.get_runtime_context()
        return Facts(
            f"{ray.util.get_node_ip_address()} {context.get_node_id()[:8]}",
            os.getpid(),
            self._engine.capabilities,
            self._engine.model.own_size,
            self._engine.model.encode_prompt.limit,
            self._state(),
        )

    def _state(self) -> EngineState:
        engine = self._engine
        return EngineState(engine.fingerprint, dict(engine.choices), engine.max_batch, engine.depth)
