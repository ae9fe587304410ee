"""A function as a CUDA graph with named inputs, and the CUDA operations that `streams.py` needs.

A frame is some 650 kernels of a few microseconds: launched one by one they wait for Python,
replayed as a graph they do not. The next replay overwrites the graph's output buffer, so callers
copy it first (`streams.py` does).

`Cuda` is all that `streams.py` knows of the device, so the tests can replace it with a simulated
device whose streams run asynchronously like CUDA's (tests/engine/cuda/simulated.py).
"""

from __future__ import annotations

import contextlib
import gc
from typing import Any

import torch

from turbostream.engine.model.inputs import Paint, Tensors

WARM_UPS = 2  # cuDNN and cuBLAS select and load their kernels, which cannot be captured

# A failed capture may leave its graph in the allocator's list of captures in progress
# (capture_end in ATen/cuda/CUDAGraph.cpp), so the graph must not be freed.
_broken: list[Any] = []


class Graph:
    """`paint(**inputs)` as a graph with static inputs, a static output and its own memory pool."""

    def __init__(self, paint: Paint, inputs: Tensors, stream: Any) -> None:
        """`inputs` give names, shapes and formats; they become the static inputs."""
        self.inputs = inputs
        self._graph = torch.cuda.CUDAGraph()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                paint(**inputs)
            stream.synchronize()
            # capture_begin and capture_end rather than torch.cuda.graph(), which collects garbage
            # and synchronizes the whole device. Other threads may use CUDA during the capture.
            # Garbage collection is off because freeing a graph on this thread could end the
            # capture.
            collecting = gc.isenabled()
            gc.disable()
            try:
                self._graph.capture_begin(capture_error_mode="thread_local")
                self.output = paint(**inputs)
            except BaseException:
                with contextlib.suppress(RuntimeError):  # already invalid; keep the first error
                    self._graph.capture_end()
                _broken.append(self._graph)
                raise
            finally:
                if collecting:
                    gc.enable()
            self._graph.capture_end()

    def replay(self) -> None:
        """Enqueue on the current stream."""
        self._graph.replay()


class Cuda:
    """Streams, events, pinned memory and graphs of one device. Only `finish` blocks."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def stream(self) -> Any:
        return torch.cuda.Stream(self.device)

    def event(self) -> Any:
        return torch.cuda.Event(blocking=True)  # a thread that waits for it sleeps

    def pinned(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, pin_memory=True)

    def zeros(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        return torch.zeros(shape, dtype=dtype, device=self.device)

    def capture(self, stream: Any, paint: Paint, inputs: Tensors) -> Any:
        return Graph(paint, inputs, stream)

    def wait(self, stream: Any, event: Any) -> None:
        stream.wait_event(event)

    def copy(self, stream: Any, target: torch.Tensor, source: torch.Tensor) -> None:
        with torch.cuda.stream(stream):
            target.copy_(source, non_blocking=True)

    def replay(self, stream: Any, graph: Any) -> None:
        with torch.cuda.stream(stream):
            graph.replay()

    def record(self, stream: Any, event: Any) -> None:
        event.record(stream)

    def finish(self, stream: Any) -> None:
        """Wait until all that was enqueued on `stream` is done."""
        stream.synchronize()
