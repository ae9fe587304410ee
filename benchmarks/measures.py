"""Measurements of the machine, the engine and the stream, for the engine benchmarks."""

from __future__ import annotations

import resource
import shutil
import subprocess
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from turbostream.engine.cuda.graph import Graph
from turbostream.engine.model.inputs import Paint, Tensors
from turbostream.stream.channel import Channel
from turbostream.stream.engine_api import Engine, Picture
from turbostream.stream.frame import Frame
from turbostream.stream.meter import percentile
from turbostream.stream.shot import Prompts, Shot, great_circle


def median_ms(call: Callable[[], object], device: str, times: int = 20) -> float:
    """Milliseconds of `call` including the device's work; the median of `times` calls."""
    sync = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    taken = []
    for _ in range(times + 3):
        sync()
        started = time.perf_counter()
        call()
        sync()
        taken.append((time.perf_counter() - started) * 1000)
    return sorted(taken[3:])[times // 2]


def graphs_ms(paint: Paint, inputs: Tensors, streams: int, times: int = 60) -> float:
    """Milliseconds per replay of `paint`, captured as `streams` CUDA graphs that are replayed in
    rotation, each on its own stream; the median of three rounds."""
    handles = [torch.cuda.Stream() for _ in range(streams)]
    graphs = [
        Graph(paint, {name: tensor.clone() for name, tensor in inputs.items()}, handle)
        for handle in handles
    ]
    rounds = []
    for _ in range(4):  # the first one warms up
        torch.cuda.synchronize()
        started = time.perf_counter()
        for turn in range(times):
            with torch.cuda.stream(handles[turn % streams]):
                graphs[turn % streams].replay()
        torch.cuda.synchronize()
        rounds.append((time.perf_counter() - started) * 1000 / times)
    return sorted(rounds[1:])[1]


def ceilings(device: Any, dtype: torch.dtype) -> tuple[float, float]:
    """(matmul TFLOP/s, copy TB/s counting bytes read and written) on random data."""
    side = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    matmul = 2 * side**3 / median_ms(lambda: left @ right, device.type, 10) / 1e9
    size = 1 << (30 if device.type == "cuda" else 26)
    source = torch.randn(size // 4, device=device)
    target = torch.empty_like(source)
    copy = 2 * size / median_ms(lambda: target.copy_(source), device.type, 10) / 1e9
    return matmul, copy


def host_mb() -> float:
    """Current resident memory of this process."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize() / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def gpu_mb() -> float:
    """GPU memory that the allocator has reserved."""
    return torch.cuda.memory_reserved() / 1e6 if torch.cuda.is_available() else 0.0


def watts() -> float | None:
    """The GPU's current power draw, or None if nvidia-smi does not report it."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, "--query-gpu=power.draw", "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    try:
        return float(done.stdout.split()[0])
    except (ValueError, IndexError):
        return None


class Watcher:
    """Listens to a channel: when each frame arrived, whether its picture is new, and how long a
    changed prompt took to reach the buffer."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._lock = threading.Lock()
        self.reset()
        channel.buffer.listen(self._heard)

    def reset(self) -> None:
        with self._lock:
            self.times: list[float] = []
            self.seen: set[int] = set()
            self.kinds: list[str] = []
            self.latencies_ms: list[float] = []
            self._measured = self.channel.last_change

    def _heard(self, frame: Frame) -> None:
        now, change = time.monotonic(), self.channel.last_change
        with self._lock:
            self.times.append(now)
            self.seen.add(zlib.crc32(frame.jpeg))
            self.kinds.append(frame.fingerprint.split()[-2])
            if change is not self._measured and frame.number > change.after:
                self._measured = change
                self.latencies_ms.append((now - change.at) * 1000)

    def fps(self, first: float = 0.0, last: float = float("inf")) -> float:
        """Frames per second between two times."""
        with self._lock:
            times = [at for at in self.times if first <= at <= last]
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 2 else 0.0

    def worst_gap_ms(self, first: float = 0.0, last: float = float("inf")) -> float:
        with self._lock:
            times = [at for at in self.times if first <= at <= last]
        gaps = [after - before for before, after in zip(times, times[1:], strict=False)]
        return max(gaps, default=0.0) * 1000

    def latency(self, share: float) -> float | None:
        """Percentile of the milliseconds from a changed prompt to its first picture, or None."""
        with self._lock:
            found = percentile(self.latencies_ms, share)
        return None if found is None else round(found, 1)


def at_rest(number: int) -> Prompts:
    """The same prompt for every number."""
    return (("a red star", 1.0),)


def fading(number: int) -> Prompts:
    """A mix of the same two prompts that differs for each of 997 successive numbers."""
    share = (number % 997 + 1) / 998
    return (("a red star", 1 - share), ("a blue house on a field", share))


def throughput(
    engine: Engine, batch: int, frames: int, prompts: Callable[[int], Prompts] = at_rest
) -> tuple[float, int, str]:
    """(frames/s including JPEG, distinct pictures, kind) of submissions of `batch` shots, with
    `engine.depth` in flight; timed from the first completed submission to the last.

    prompts: returns the prompts of the shot with a given number.
    """
    in_flight: list[Future[list[Picture]]] = []
    seen: set[int] = set()
    completed: list[float] = []
    kind = ""

    def shots(first: int) -> Sequence[Shot]:
        return [
            Shot(prompts(n), great_circle(n // 40, n // 40 + 1, n % 40 / 40))
            for n in range(first, first + batch)
        ]

    def complete() -> None:
        nonlocal kind
        for picture in in_flight.pop(0).result():
            seen.add(zlib.crc32(picture.jpeg))
            kind = picture.fingerprint.split()[-2]
        completed.append(time.perf_counter())

    done = -4 * batch  # the first submissions are warm-up
    while done < frames:
        if done == 0:
            while in_flight:
                complete()
            seen.clear()
            completed.clear()
        in_flight.append(engine.submit(shots(max(0, done))))
        done += batch
        while len(in_flight) >= engine.depth:
            complete()
    while in_flight:
        complete()
    return (done - batch) / (completed[-1] - completed[0]), len(seen), kind


def kernels(engine: Engine, cuda: bool, frames: int = 5, rows: int = 25) -> str:
    """A table of the kernels of a single-shot frame, by device time, largest first."""
    activity = ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU
    with profile(activities=[activity]) as found:
        for number in range(frames):
            noise = great_circle(number, number + 1, 0.3)
            engine.submit([Shot((("a red star", 1.0),), noise)]).result()
    name = "self_device_time_total" if cuda else "self_cpu_time_total"
    times = [
        (getattr(row, name) / frames, row.count / frames, row.key) for row in found.key_averages()
    ]
    times = sorted((row for row in times if row[0] > 0), reverse=True)
    total = sum(us for us, _, _ in times)
    number = sum(count for _, count, _ in times)
    lines = [f"| us/frame | calls | share | kernel | ({number:.0f} calls, {total:.0f} us)"]
    lines += [
        f"| {us:8.1f} | {count:5.1f} | {us / total:5.1%} | {key[:90]} |"
        for us, count, key in times[:rows]
    ]
    return "\n".join(lines)
