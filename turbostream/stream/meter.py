"""The figures of one channel: frames per second, milliseconds per stage, prompt-to-picture time.

Written by the generation thread, read by any thread. Its memory is bounded: the frames of the last
seconds, and the last few hundred samples of everything else. Knows no channel and no engine.
"""

from __future__ import annotations

import statistics
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WINDOW_S = 3.0
SAMPLES = 200


@dataclass(frozen=True)
class Percentiles:
    """In the unit of the samples; None where there are none."""

    p50: float | None
    p95: float | None


@dataclass(frozen=True)
class Figures:
    """What a meter has measured; the names are those of /status."""

    fps: float
    frames: int
    failed_frames: int
    stage_ms: Mapping[str, float]  # the median of each stage
    prompt_to_picture_ms: Percentiles


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` (0 to 1) of the values do not exceed."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


class Meter:
    """Counts and samples; `figures` sums them up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: deque[float] = deque(maxlen=int(WINDOW_S * 1000))
        self._stages: dict[str, deque[float]] = {}
        self._latencies_ms: deque[float] = deque(maxlen=SAMPLES)
        self._frames = 0
        self._failures = 0

    def frame(self, at: float, stage_ms: Mapping[str, float]) -> None:
        """A frame was published at `at` (monotonic s)."""
        with self._lock:
            self._frames += 1
            self._times.append(at)
            for stage, ms in stage_ms.items():
                self._stages.setdefault(stage, deque(maxlen=SAMPLES)).append(ms)

    @property
    def frames(self) -> int:
        """Frames published so far."""
        with self._lock:
            return self._frames

    def failure(self) -> None:
        """A frame failed, or the engine could not be opened or closed."""
        with self._lock:
            self._failures += 1

    def prompt_to_picture(self, seconds: float) -> None:
        """From a change of the scene to the first picture of it in the buffer.

        Of changes that share their first picture, the one that waited longest counts.
        """
        with self._lock:
            self._latencies_ms.append(seconds * 1000)

    def fps(self, now: float) -> float:
        """Frames a second over the last `WINDOW_S` before `now` (monotonic s); 0 without frames."""
        with self._lock:
            times = [at for at in self._times if now - at <= WINDOW_S]
        if len(times) < 2 or now - times[-1] > 1.0 + 2 * (times[-1] - times[-2]):
            return 0.0
        return (len(times) - 1) / (times[-1] - times[0]) if times[-1] > times[0] else 0.0

    def figures(self, now: float) -> Figures:
        """Everything, rounded for display; `now` in monotonic s."""
        fps = self.fps(now)
        with self._lock:
            stages = {name: round(statistics.median(ms), 2) for name, ms in self._stages.items()}
            latencies = list(self._latencies_ms)
            frames, failures = self._frames, self._failures
        p50, p95 = percentile(latencies, 0.5), percentile(latencies, 0.95)
        waits = Percentiles(
            None if p50 is None else round(p50, 1), None if p95 is None else round(p95, 1)
        )
        return Figures(round(fps, 2), frames, failures, stages, waits)
