"""Submissions in flight on a CUDA device: lanes of graphs, pinned memory for what goes in and out.

Called on the engine's thread, which captures and launches; `Work.pixels` is called on the thread
that makes the JPEG, and only waits. A lane is a stream with one graph per batch size; a slot is
the pinned memory of one submission, which outlives the graph's own buffers: those are written
again by the next replay.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from turbostream.engine.graph import Graph, Paint
from turbostream.engine.memory import Plan
from turbostream.engine.text import Words

log = logging.getLogger(__name__)

Shape = tuple[int, int, int]


class Slot:
    """Pinned memory and the event of one submission."""

    def __init__(self, max_batch: int, latent: Shape, pixels: Shape) -> None:
        self.noise = torch.empty(max_batch, *latent, pin_memory=True)
        self.pixels = torch.empty(max_batch, *pixels, dtype=torch.uint8, pin_memory=True)
        self.view: NDArray[np.uint8] = self.pixels.numpy()
        self.landed = torch.cuda.Event(blocking=True)  # a waiting thread sleeps
        self.words: Sequence[Words] = ()  # kept until the copies that read them are done


class Lane:
    """A stream and its graphs."""

    def __init__(self) -> None:
        self.stream: Any = torch.cuda.Stream()
        self.graphs: dict[int, tuple[str, Graph]] = {}  # batch size -> (kind, graph)


class Work:
    """A submission on its way; `kind` and `batch` belong into its fingerprint."""

    def __init__(self, slot: Slot, count: int, kind: str, batch: int, free: Any) -> None:
        self.kind, self.batch = kind, batch
        self._slot, self._count, self._free = slot, count, free

    def pixels(self) -> NDArray[np.uint8]:
        """Wait, then uint8 RGB [shots, H, W, 3]; valid until `release`."""
        self._slot.landed.synchronize()
        return self._slot.view[: self._count]

    def release(self) -> None:
        self._slot.words = ()
        self._free.put(self._slot)


class Lanes:
    """Graphs of `paint` on several streams, used in turn."""

    def __init__(
        self,
        plan: Plan,
        paint: Paint,
        latent: Shape,
        words: tuple[int, int],
        like: torch.Tensor,
        wanted: Callable[[int], None] = lambda batch: None,
    ) -> None:
        """latent: [C, H/8, W/8]. words: [tokens, hidden]. like: a tensor of the model's device
        and format. wanted: told of each batch size at its first use."""
        self.plan, self.latent = plan, latent
        self._paints: dict[int, tuple[str, Paint]] = {}
        self._plain = ("graph", paint)
        self._words, self._like, self._wanted = words, like, wanted
        self._lanes = [Lane() for _ in range(plan.lanes)]
        self._turn = 0
        self._free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        for lane in self._lanes:
            self._graph(lane, 1)
        pixels = tuple(self._lanes[0].graphs[1][1].pixels.shape[1:])
        for _ in range(plan.depth):
            self._free.put(Slot(plan.max_batch, latent, pixels))  # type: ignore[arg-type]

    def adopt(self, kind: str, batch: int, paint: Paint) -> None:
        """From now on take `paint` for this batch size; each lane changes at its next turn,
        between two frames. Any thread."""
        self._paints[batch] = (kind, paint)

    def start(self, noise: Sequence[torch.Tensor], words: Sequence[Words]) -> Work:
        """Enqueue one submission; at most `plan.depth` are under way."""
        count = len(noise)
        lane = self._lanes[self._turn % len(self._lanes)]
        self._turn += 1
        batch = self.plan.batch_of(count)
        kind, graph = self._graph(lane, batch)
        slot = self._free.get()
        for index in range(batch):  # a batch that is not full repeats its last shot
            slot.noise[index].copy_(noise[min(index, count - 1)])
        slot.words = words
        with torch.cuda.stream(lane.stream):
            graph.noise.copy_(slot.noise[:batch], non_blocking=True)
            for index in range(batch):
                word = words[min(index, count - 1)]
                if word.ready is not None:
                    lane.stream.wait_event(word.ready)
                graph.words[index].copy_(word.embedding[0], non_blocking=True)
            graph.replay()
            slot.pixels[:batch].copy_(graph.pixels, non_blocking=True)
            slot.landed.record(lane.stream)
        return Work(slot, count, kind, batch, self._free)

    def _graph(self, lane: Lane, batch: int) -> tuple[str, Graph]:
        """The lane's graph of this batch size, captured anew if there is a better `paint`."""
        kind, paint = self._paints.get(batch, self._plain)
        held = lane.graphs.get(batch)
        if held is not None and held[0] == kind:
            return held
        if held is None:
            self._wanted(batch)
        noise = torch.zeros(batch, *self.latent, device=self._like.device)
        words = self._like.new_zeros(batch, *self._words)
        lane.graphs[batch] = (kind, Graph(paint, noise, words, lane.stream))
        return lane.graphs[batch]

    def close(self) -> None:
        for lane in self._lanes:
            lane.stream.synchronize()
            lane.graphs.clear()
        self._paints.clear()
