"""One CUDA graph from noise and words to bytes, on its own stream with its own memory.

A frame is some 650 kernels of a few microseconds: launched one by one they wait for Python, as
a graph they do not. Two graphs on two streams fill each other's gaps. The graph's output buffer
is written again by the next replay: copy it first (`Slot` in lanes.py does).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch

WARM_UPS = 2  # cuDNN and cuBLAS choose and load their kernels, which cannot be captured

Paint = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Graph:
    """`paint(noise, words)` as a graph with fixed inputs and output."""

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
            # synchronizes the whole device. Other threads may use CUDA meanwhile.
            self._graph.capture_begin(capture_error_mode="thread_local")
            try:
                self.pixels = paint(noise, words)
            except BaseException:
                with contextlib.suppress(RuntimeError):  # broken already; the first error says why
                    self._graph.capture_end()
                raise
            self._graph.capture_end()

    def replay(self) -> None:
        """Enqueue on the current stream."""
        self._graph.replay()
