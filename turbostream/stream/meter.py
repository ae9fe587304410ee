"""Numbers worth seeing: frames per second, milliseconds per stage, prompt-to-picture time.

Written by the producer's thread, read by anybody. Bounded: it remembers the last seconds of
frames and the last few hundred samples of everything else.
"""

from __future__ import annotations

import statistics
import threading
from collections import deque
from collections.abc import Mapping, Sequence

WINDOW_S = 3.0
SAMPLES = 200


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least `share` (0 to 1) of the values do not exceed."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


class Meter:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: deque[float] = deque(maxlen=int(WINDOW_S * 1000))
        self._stages: dict[str, deque[float]] = {}
        self._latencies: deque[float] = deque(maxlen=SAMPLES)
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
        with self._lock:
            self._failures += 1

    def prompt_to_picture(self, seconds: float) -> None:
        """From a scene's change to the first picture of it in the buffer.

        Of changes that share their first picture, the one that waited longest counts.
        """
        with self._lock:
            self._latencies.append(seconds * 1000)

    def fps(self, now: float) -> float:
        """Frames a second over the last `WINDOW_S`; 0 when none came."""
        with self._lock:
            times = [at for at in self._times if now - at <= WINDOW_S]
        if len(times) < 2 or now - times[-1] > 1.0 + 2 * (times[-1] - times[-2]):
            return 0.0
        return (len(times) - 1) / (times[-1] - times[0]) if times[-1] > times[0] else 0.0

    def as_dict(self, now: float) -> dict[str, object]:
        fps = self.fps(now)
        with self._lock:
            stages = {name: round(statistics.median(ms), 2) for name, ms in self._stages.items()}
            latencies = list(self._latencies)
            frames, failures = self._frames, self._failures
        p50, p95 = percentile(latencies, 0.5), percentile(latencies, 0.95)
        return {
            "fps": round(fps, 2),
            "frames": frames,
            "failed_frames": failures,
            "stage_ms": stages,
            "prompt_to_picture_ms": {
                "p50": None if p50 is None else round(p50, 1),
                "p95": None if p95 is None else round(p95, 1),
            },
        }
