"""One CUDA graph from noise and words to bytes, and the few things that lanes ask of CUDA.

A frame is some 650 kernels of a few microseconds: launched one by one they wait for Python, as
a graph they do not. The graph's output buffer is written again by the next replay: copy it first
(`lanes.py` does).

`Cuda` is all that `lanes.py` knows of the device, so that the tests can put a simulated device
in its place, whose streams really run behind the caller's back (tests/engine/simulated.py).
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable
from typing import Any

import torch

WARM_UPS = 2  # cuDNN and cuBLAS choose and load their kernels, which cannot be captured

# A capture that failed may leave its graph in the allocator's list of those under way
# (capture_end in ATen/cuda/CUDAGraph.cpp): it must not be freed.
_broken: list[Any] = []

Paint = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Graph:
    """`paint(noise, words)` as a graph with fixed inputs and output, and its own memory."""

    def __init__(self, paint: Paint, noise: torch.Tensor, words: torch.Tensor, stream: Any) -> None:
        """`noise` and `words` give shape and format; they become the static inputs."""
        self.noise, self.words = noise, words
        self._graph = torch.cuda.CUDAGraph()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                paint(noise, words)
            stream.synchronize()
            # Begin and end rather than torch.cuda.graph(), which collects garbage and
            # synchronizes the whole device. Other threads may use CUDA meanwhile; a graph that
            # Python happened to free on this one could end the capture.
            collecting = gc.isenabled()
            gc.disable()
            try:
                self._graph.capture_begin(capture_error_mode="thread_local")
                self.pixels = paint(noise, words)
            except BaseException:
                with contextlib.suppress(RuntimeError):  # broken already; the first error says why
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
    """Streams, events, pinned memory and graphs of one device. Nothing here waits."""

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

    def capture(self, stream: Any, paint: Paint, noise: torch.Tensor, words: torch.Tensor) -> Any:
        return Graph(paint, noise, words, stream)

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
