"""The engine of a cluster: shots in, JPEGs out, painted by whichever worker has the least to do.

A submission stays whole and is painted by one worker. Its answer arrives when it is done, whatever
the others do. Pictures that shots start from are resolved here, on the caller's thread, and reach
the worker through Ray's object store. Must not know channels, viewers or pace.
"""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from turbostream.engine.cluster import connection
from turbostream.engine.cluster.actor import PaintingActor
from turbostream.engine.cluster.dispatcher import Dispatcher
from turbostream.engine.cluster.member import Member
from turbostream.engine.weights import Weights, hub, lora_places
from turbostream.settings import Settings
from turbostream.stream.capabilities import Capabilities
from turbostream.stream.engine_api import (
    EngineClosed,
    EngineUnavailable,
    Picture,
    Report,
    Resolve,
    WorkerStatus,
)
from turbostream.stream.shot import Shot, ShotError, Source
from turbostream.stream.state import State, Status

log = logging.getLogger(__name__)

CLOSE_S = 2.0
CALLS = 1000  # that an actor may answer at once: far more than it has in flight
KEPT_SOURCES = 4  # pictures; a still one serves many frames


class ClusterEngine:
    """Paints with the workers of `dispatcher`, of which one is ready."""

    def __init__(
        self, dispatcher: Dispatcher, first: Member, resolve: Resolve | None, workers: str
    ) -> None:
        """workers: their number and the reason for it, for `choices`."""
        assert first.facts is not None
        self._dispatcher, self._resolve, self._workers = dispatcher, resolve, workers
        self._facts = first.facts
        self._first = first
        self._sources: OrderedDict[tuple[Source, int, int], Any] = OrderedDict()
        self._closed = False
        self.capabilities: Capabilities = first.facts.capabilities
        self.dropped = first.facts.limit.dropped

    # -- any thread ------------------------------------------------------------------------------

    @property
    def max_batch(self) -> int:
        """That of the worker with the smallest."""
        return min((one.engine.max_batch for one in self._working() if one.engine), default=1)

    @property
    def depth(self) -> int:
        return max(1, sum(one.depth for one in self._working()))

    @property
    def fingerprint(self) -> str:
        """That of a single shot painted by the first worker; each picture carries its own."""
        return (self._first.engine or self._facts.state).fingerprint

    @property
    def choices(self) -> Mapping[str, str]:
        return {**(self._first.engine or self._facts.state).choices, "workers": self._workers}

    @property
    def workers(self) -> Sequence[WorkerStatus]:
        return [one.status() for one in self._dispatcher.members]

    def _working(self) -> list[Member]:
        return [one for one in self._dispatcher.members if one.works]

    # -- the engine's thread ---------------------------------------------------------------------

    def submit(self, shots: Sequence[Shot]) -> Future[list[Picture]]:
        """Raises ShotError for a shot that no worker can paint, or whose picture is not there."""
        if self._closed:
            raise EngineClosed("The engine was closed.")
        pixels: dict[Source, Any] = {}
        for shot in shots:
            self.capabilities.check(shot)
            if shot.source is not None:
                pixels[shot.source] = self._stored(shot.source, *self._size(shot))
        return self._dispatcher.submit(shots, list(pixels), list(pixels.values())).pictures

    def close(self) -> None:
        self._closed = True
        self._sources.clear()
        self._dispatcher.close(CLOSE_S)
        connection.disconnect()

    def _size(self, shot: Shot) -> tuple[int, int]:
        """(width, height) in pixels of the picture that the model starts from."""
        width, height = shot.width, shot.height
        if shot.enlarging == "pixels":
            width, height = shot.base_width, shot.base_height
        return width or self._facts.own_size[0], height or self._facts.own_size[1]

    def _stored(self, source: Source, width: int, height: int) -> Any:
        """A reference to its pixels in the object store, which keeps them while one exists."""
        import ray

        if self._resolve is None:
            raise ShotError("The shot has a source, and this engine starts from noise only.")
        key = source, width, height
        if key not in self._sources:
            self._sources[key] = ray.put(self._resolve(source, width, height))
        self._sources.move_to_end(key)
        while len(self._sources) > KEPT_SOURCES:
            self._sources.popitem(last=False)
        return self._sources[key]


def open_cluster(
    settings: Settings, weights: Weights, report: Report, resolve: Resolve | None
) -> ClusterEngine:
    """See `open_cluster` in __init__.py."""
    if settings.ray_address == "local":  # here the workers' cache is ours, and a bar can be shown
        folder = hub.fetch(weights, report)
        lora_places.fetch(settings.loras, weights.model_id, folder, report)
    report(Status(State.LOADING, f"Connecting to Ray ({settings.ray_address})."))
    gpus = connection.connect(settings)
    count, reason = (gpus, "one for each GPU") if gpus else (settings.ray_workers, "RAY_WORKERS")
    members = [
        Member(f"worker-{index}", partial(_create, settings, weights, index, count, bool(gpus)))
        for index in range(count)
    ]
    report(Status(State.LOADING, f"Loading {weights.model_id} on {count} workers."))
    dispatcher = Dispatcher(members, settings.engine_timeout_s)
    dispatcher.start()
    try:
        first = dispatcher.first.result()
    except BaseException:
        dispatcher.close(CLOSE_S)
        connection.disconnect()
        raise
    engine = ClusterEngine(dispatcher, first, resolve, f"{count}: {reason}")
    log.info("[init] model loaded and compiled")
    for choice in engine.choices.items():
        log.info("[init] %s: %s", *choice)
    return engine


def _create(settings: Settings, weights: Weights, index: int, count: int, on_gpu: bool) -> Any:
    """The actor of the worker `index` of `count`. On CPUs they are spread over the nodes: each is
    bound to one, since Ray treats a preference as a hint; an actor whose node is lost then ends,
    and this is called again."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    options: dict[str, Any] = {"num_cpus": 0, "max_restarts": -1, "max_concurrency": CALLS}
    sharing = 1
    if on_gpu:
        options["num_gpus"] = 1
    else:
        nodes = sorted(node["NodeID"] for node in ray.nodes() if node["Alive"])
        if not nodes:
            raise EngineUnavailable("The Ray cluster has no node.")
        sharing = math.ceil(count / len(nodes))
        options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(
            nodes[index % len(nodes)], soft=False
        )
    return ray.remote(PaintingActor).options(**options).remote(settings, weights, sharing)
