"""How long each stage of opening an engine took."""

from __future__ import annotations

import time


class Stages:
    """Seconds by stage, in their order; each begins when the one before it ends."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._began = time.perf_counter()

    def end(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._began
        self._began = now

    def __str__(self) -> str:
        """first picture after 7.1 s: imports 3.9, weights 1.2, ..."""
        parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in self.seconds.items())
        return f"first picture after {sum(self.seconds.values()):.2f} s: {parts}"
