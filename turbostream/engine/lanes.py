"""Submissions in flight: lanes of graphs, and pinned memory for what goes in and out.

Called on the engine's thread, which captures and launches; `Work.pixels` is called on the thread
that makes the JPEG, and only waits. A lane is a stream with one graph per batch size; two lanes
fill each other's gaps. A slot is the pinned memory of one submission, which outlives the graph's
own buffers: those are written again by the next replay.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from turbostream.engine.graph import Paint
from turbostream.engine.memory import Plan
from turbostream.engine.text import Words

log = logging.getLogger(__name__)

Shape = tuple[int, int, int]


class Slot:
    """Pinned memory and the event of one submission."""

    def __init__(self, device: Any, max_batch: int, latent: Shape, pixels: Shape) -> None:
        self.noise: torch.Tensor = device.pinned((max_batch, *latent), torch.float32)
        self.pixels: torch.Tensor = device.pinned((max_batch, *pixels), torch.uint8)
        self.view: NDArray[np.uint8] = self.pixels.numpy()
        self.landed = device.event()
        self.words: Sequence[Words] = ()  # kept until the copies that read them are done


class Lane:
    """A stream and its graphs."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.graphs: dict[int, tuple[str, Any]] = {}  # batch size -> (kind, graph)


class Work:
    """A submission on its way; `kind` and `batch` belong into its fingerprint."""

    def __init__(self, slot: Slot, count: int, kind: str, batch: int, free: Any) -> None:
        self.kind, self.batch = kind, batch
        self._slot, self._count, self._free = slot, count, free

    def pixels(self) -> NDArray[np.uint8]:
        """Wait, then uint8 RGBX [shots, H, W, 4]; valid until `release`."""
        self._slot.landed.synchronize()
        return self._slot.view[: self._count]

    def release(self) -> None:
        self._slot.words = ()
        self._free.put(self._slot)


class Lanes:
    """Graphs of `paint` on several streams, used in turn."""

    def __init__(
        self,
        device: Any,
        plan: Plan,
        paint: Paint,
        latent: Shape,
        words: torch.Tensor,
        wanted: Callable[[int], None] = lambda batch: None,
        refused: Callable[[int, str], None] = lambda batch, reason: None,
    ) -> None:
        """device: a graph.Cuda. latent: [C, H/8, W/8]. words: any prompt's, for shape and format.
        wanted: told of each batch size at its first use. refused: told of a batch size whose
        adopted paint could not be captured, and why."""
        self.plan, self.latent = plan, latent
        self._device, self._wanted, self._refused = device, wanted, refused
        self._words = (words.shape[1], words.shape[2]), words.dtype
        self._plain = ("graph", paint)
        self._adopted: dict[int, tuple[str, Paint]] = {}
        self._lanes = [Lane(device.stream()) for _ in range(plan.lanes)]
        self._turn = 0
        self._free: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        for lane in self._lanes:
            self._graph(lane, 1)
        pixels = tuple(self._lanes[0].graphs[1][1].pixels.shape[1:])
        for _ in range(plan.depth):
            self._free.put(Slot(device, plan.max_batch, latent, pixels))  # type: ignore[arg-type]

    def adopt(self, kind: str, batch: int, paint: Paint) -> None:
        """From now on take `paint` for this batch size; each lane changes at its next turn,
        between two frames. Any thread."""
        self._adopted[batch] = (kind, paint)

    def start(self, noise: Sequence[torch.Tensor], words: Sequence[Words]) -> Work:
        """Enqueue one submission; at most `plan.depth` are under way.

        noise: [C, H/8, W/8] each, on the CPU. A batch that is not full repeats its last shot.
        """
        device, count = self._device, len(noise)
        lane = self._lanes[self._turn % len(self._lanes)]
        self._turn += 1
        batch = self.plan.batch_of(count)
        kind, graph = self._graph(lane, batch)
        slot = self._free.get()
        slot.words = words
        for index in range(batch):
            slot.noise[index].copy_(noise[min(index, count - 1)])
        device.copy(lane.stream, graph.noise, slot.noise[:batch])
        for index in range(batch):
            word = words[min(index, count - 1)]
            if word.ready is not None:
                device.wait(lane.stream, word.ready)
            device.copy(lane.stream, graph.words[index], word.embedding[0])
        device.replay(lane.stream, graph)
        device.copy(lane.stream, slot.pixels[:batch], graph.pixels)
        device.record(lane.stream, slot.landed)
        return Work(slot, count, kind, batch, self._free)

    def _graph(self, lane: Lane, batch: int) -> tuple[str, Any]:
        """The lane's graph of this batch size, captured anew if there is a better `paint`."""
        held = lane.graphs.get(batch)
        if held is None:
            held = lane.graphs[batch] = self._capture(lane, batch, *self._plain)
            self._wanted(batch)
        better = self._adopted.get(batch)
        if better is None or better[0] == held[0]:
            return held
        try:
            lane.graphs[batch] = self._capture(lane, batch, *better)
        except RuntimeError as error:  # out of memory is one of these too
            # The stream goes on with what it has.
            self._adopted.pop(batch, None)
            self._refused(batch, str(error).strip().partition("\n")[0] or type(error).__name__)
        return lane.graphs[batch]

    def _capture(self, lane: Lane, batch: int, kind: str, paint: Paint) -> tuple[str, Any]:
        shape, dtype = self._words
        noise = self._device.zeros((batch, *self.latent), torch.float32)
        words = self._device.zeros((batch, *shape), dtype)
        self._device.finish(lane.stream)
        return kind, self._device.capture(lane.stream, paint, noise, words)

    def close(self) -> None:
        for lane in self._lanes:
            self._device.finish(lane.stream)
            lane.graphs.clear()
        self._adopted.clear()
