"""A device for `streams.py` whose streams run asynchronously, on the CPU.

Each stream is a thread with a queue; nothing enqueued has happened when the call returns. A
graph's output buffer is one tensor that every replay overwrites, as on CUDA: whoever reads it
too late, or hands it out without a copy, gets another frame's picture.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import torch

from turbostream.engine.model.inputs import Paint, Tensors

PATIENCE_S = 60


class Stream:
    def __init__(self, delay_s: float, running: threading.Event) -> None:
        self.delay_s, self.running = delay_s, running
        self.work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run, name="simulated stream", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while (work := self.work.get()) is not None:
            assert self.running.wait(PATIENCE_S)
            work()


class Graph:
    def __init__(self, paint: Paint, inputs: Tensors) -> None:
        self.paint, self.inputs = paint, inputs
        self.output = paint(**inputs)


class Device:
    """Takes graph.Cuda's place. `budget` bytes of static buffers, then it is out of memory.

    While `running` is clear, what is enqueued waits.
    """

    def __init__(self, delay_s: float = 0.0, budget: int | None = None) -> None:
        self.delay_s, self.budget, self.taken = delay_s, budget, 0
        self.streams: list[Stream] = []
        self.running = threading.Event()
        self.running.set()

    def stream(self) -> Stream:
        self.streams.append(Stream(self.delay_s, self.running))
        return self.streams[-1]

    def event(self) -> Any:
        class Event:
            def __init__(self) -> None:
                self.flag = threading.Event()

            def synchronize(self) -> None:
                assert self.flag.wait(PATIENCE_S)

        return Event()

    def pinned(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        return torch.full(shape, 77, dtype=dtype)  # poison

    def zeros(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        made = torch.zeros(shape, dtype=dtype)
        self.taken += made.nbytes
        if self.budget is not None and self.taken > self.budget:
            raise torch.OutOfMemoryError("CUDA out of memory. (simulated)")
        return made

    def capture(self, stream: Stream, paint: Paint, inputs: Tensors) -> Graph:
        with torch.inference_mode():
            return Graph(paint, inputs)

    def _enqueue(self, stream: Stream, work: Callable[[], None]) -> None:
        def later() -> None:
            with torch.inference_mode():
                work()

        stream.work.put(later)

    def wait(self, stream: Stream, event: Any) -> None:
        self._enqueue(stream, lambda: event.synchronize())

    def copy(self, stream: Stream, target: torch.Tensor, source: torch.Tensor) -> None:
        def work() -> None:
            target.copy_(source)

        self._enqueue(stream, work)

    def replay(self, stream: Stream, graph: Graph) -> None:
        def work() -> None:
            time.sleep(stream.delay_s)
            graph.output.copy_(graph.paint(**graph.inputs))

        self._enqueue(stream, work)

    def record(self, stream: Stream, event: Any) -> None:
        event.flag.clear()
        self._enqueue(stream, event.flag.set)

    def finish(self, stream: Stream) -> None:
        done = threading.Event()
        self._enqueue(stream, done.set)
        assert done.wait(PATIENCE_S)

    def close(self) -> None:
        for stream in self.streams:
            stream.work.put(None)
            stream.thread.join(PATIENCE_S)
