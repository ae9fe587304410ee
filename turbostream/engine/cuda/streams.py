"""In-flight requests: CUDA streams with their graphs, and pinned staging buffers.

Called on the engine's thread, which captures and launches; `InFlight.pixels` is called on the
thread that encodes the JPEG, and only waits. Each stream has one graph per batch size; two streams
fill the gaps between each other's kernels. A staging buffer holds one request's data in pinned
memory, because the next replay overwrites the graph's own buffers. Must not know prompts or JPEG.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from turbostream.engine.cuda.memory_plan import Plan
from turbostream.engine.model.inputs import Declaration, Paint, Values, batched

log = logging.getLogger(__name__)


class StagingBuffer:
    """The pinned memory and the completion event of one request."""

    def __init__(
        self, device: Any, max_batch: int, declaration: Declaration, pixels: tuple[int, ...]
    ) -> None:
        """pixels: the shape of one picture, [H, W, 4]."""
        staged = tuple(one for one in declaration if one.staged)
        self.inputs: dict[str, torch.Tensor] = batched(staged, max_batch, device.pinned)
        self.pixels: torch.Tensor = device.pinned((max_batch, *pixels), torch.uint8)
        self.view: NDArray[np.uint8] = self.pixels.numpy()
        self.done = device.event()
        self.values: Sequence[Values] = ()  # kept alive until the copies from them are done


class Stream:
    """A CUDA stream and its graphs."""

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.graphs: dict[int, tuple[str, Any]] = {}  # batch size -> (kind, graph)


class InFlight:
    """An in-flight request; `kind` and `batch` are part of its pictures' fingerprint."""

    def __init__(self, buffer: StagingBuffer, count: int, kind: str, batch: int, free: Any) -> None:
        self.kind, self.batch = kind, batch
        self._buffer, self._count, self._free = buffer, count, free

    def pixels(self) -> NDArray[np.uint8]:
        """Wait for the device; uint8 RGBX [shots, H, W, 4], valid until `release`."""
        self._buffer.done.synchronize()
        return self._buffer.view[: self._count]

    def release(self) -> None:
        self._buffer.values = ()
        self._free.put(self._buffer)


class Streams:
    """Graphs of `paint` on several streams, used in rotation."""

    def __init__(
        self,
        device: Any,
        plan: Plan,
        paint: Paint,
        declaration: Declaration,
        first_use: Callable[[int], None] = lambda batch: None,
        refused: Callable[[int, str], None] = lambda batch, reason: None,
    ) -> None:
        """device: a graph.Cuda. paint: takes the declared inputs. first_use: called with each batch
        size at its first use. refused: called with a batch size whose installed paint could not
        be captured, and the reason."""
        self.plan = plan
        self._device, self._first_use, self._refused = device, first_use, refused
        self._declaration = declaration
        self._plain = ("graph", paint)
        self._installed: dict[int, tuple[str, Paint]] = {}
        self._streams = [Stream(device.stream()) for _ in range(plan.streams)]
        self._turn = 0
        self._free: queue.SimpleQueue[StagingBuffer] = queue.SimpleQueue()
        for stream in self._streams:
            self._graph(stream, 1)
        pixels = tuple(self._streams[0].graphs[1][1].output.shape[1:])
        for _ in range(plan.depth):
            self._free.put(StagingBuffer(device, plan.max_batch, declaration, pixels))

    def install(self, kind: str, batch: int, paint: Paint) -> None:
        """Use `paint` for this batch size from now on; each stream changes over at its next
        request, between two frames. Any thread."""
        self._installed[batch] = (kind, paint)

    def ends(self) -> list[Any]:
        """For each stream an event after which all that was enqueued there is done."""
        found = []
        for stream in self._streams:
            event = self._device.event()
            self._device.record(stream.handle, event)
            found.append(event)
        return found

    def continue_after(self, event: Any) -> None:
        """Whatever is enqueued from now on waits for `event`."""
        for stream in self._streams:
            self._device.wait(stream.handle, event)

    def start(self, values: Sequence[Values]) -> InFlight:
        """Enqueue one request; at most `plan.depth` are in flight.

        values: one entry per shot. A batch that is not full is padded with its last shot.
        """
        device, count = self._device, len(values)
        stream = self._streams[self._turn % len(self._streams)]
        self._turn += 1
        batch = self.plan.batch_of(count)
        kind, graph = self._graph(stream, batch)
        buffer = self._free.get()
        buffer.values = values
        padded = [values[min(index, count - 1)] for index in range(batch)]
        for one in self._declaration:
            target = graph.inputs[one.name]
            if one.staged:
                staging = buffer.inputs[one.name][:batch]
                for index, shot in enumerate(padded):
                    staging[index].copy_(shot[one.name].tensor)
                device.copy(stream.handle, target, staging)
                continue
            for index, shot in enumerate(padded):
                value = shot[one.name]
                if value.ready is not None:
                    device.wait(stream.handle, value.ready)
                device.copy(stream.handle, target[index], value.tensor)
        device.replay(stream.handle, graph)
        device.copy(stream.handle, buffer.pixels[:batch], graph.output)
        device.record(stream.handle, buffer.done)
        return InFlight(buffer, count, kind, batch, self._free)

    def _graph(self, stream: Stream, batch: int) -> tuple[str, Any]:
        """The stream's graph for this batch size, captured again after `install`."""
        current = stream.graphs.get(batch)
        if current is None:
            current = stream.graphs[batch] = self._capture(stream, batch, *self._plain)
            self._first_use(batch)
        installed = self._installed.get(batch)
        if installed is None or installed[0] == current[0]:
            return current
        try:
            stream.graphs[batch] = self._capture(stream, batch, *installed)
        except RuntimeError as error:  # includes torch.OutOfMemoryError
            # The stream keeps its current graph.
            self._installed.pop(batch, None)
            self._refused(batch, str(error).strip().partition("\n")[0] or type(error).__name__)
        return stream.graphs[batch]

    def _capture(self, stream: Stream, batch: int, kind: str, paint: Paint) -> tuple[str, Any]:
        inputs = batched(self._declaration, batch, self._device.zeros)
        self._device.finish(stream.handle)
        return kind, self._device.capture(stream.handle, paint, inputs)

    def close(self) -> None:
        for stream in self._streams:
            self._device.finish(stream.handle)
            stream.graphs.clear()
        self._installed.clear()
