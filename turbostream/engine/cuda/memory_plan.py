"""Fallbacks when GPU memory runs out: a smaller batch, fewer in-flight requests, the plain path.

Pure decisions, no torch: `local_engine.py` builds what the plan says, and asks for the next plan
when it does not fit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

BATCHES = (1, 2, 4, 8)


@dataclass(frozen=True)
class Plan:
    """streams: concurrent graphs, 0 for the plain path. max_batch: shots per submission."""

    streams: int
    max_batch: int
    spare: int = 1  # submissions beyond one per stream, whose JPEGs are being encoded

    @property
    def depth(self) -> int:
        """In-flight submissions."""
        return self.streams + self.spare if self.streams else 1

    def batch_of(self, shots: int) -> int:
        """The smallest captured batch size that holds this many shots."""
        return next(size for size in BATCHES if size >= shots)

    def __str__(self) -> str:
        if not self.streams:
            return "the plain path"
        return f"{self.streams} in flight, batches of {self.max_batch} at most"


def smaller(plan: Plan, batch: int) -> Plan | None:
    """The next plan to try after a batch of `batch` shots did not fit, or None."""
    if not plan.streams:
        return None
    if batch > 1:
        return replace(plan, max_batch=batch // 2)
    if plan.streams > 1:
        return Plan(plan.streams - 1, max_batch=1)
    return Plan(streams=0, max_batch=1)
