"""What is tried when GPU memory runs out: a smaller batch, less in flight, the plain path.

Pure decisions, no torch: `local_engine.py` builds what the plan says and asks for the next one when
that does not fit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

BATCHES = (1, 2, 4, 8)


@dataclass(frozen=True)
class Plan:
    """streams: graphs that run at once, 0 for the plain path. max_batch: shots a submission."""

    streams: int
    max_batch: int
    spare: int = 1  # submissions beyond one per stream: their JPEG is being made

    @property
    def depth(self) -> int:
        """Submissions under way."""
        return self.streams + self.spare if self.streams else 1

    def batch_of(self, shots: int) -> int:
        """The captured batch size that holds so many shots."""
        return next(size for size in BATCHES if size >= shots)

    def __str__(self) -> str:
        if not self.streams:
            return "the plain path"
        return f"{self.streams} in flight, batches of {self.max_batch} at most"


def smaller(plan: Plan, batch: int) -> Plan | None:
    """The next best plan after `batch` shots at once did not fit, or None when there is none."""
    if not plan.streams:
        return None
    if batch > 1:
        return replace(plan, max_batch=batch // 2)
    if plan.streams > 1:
        return Plan(plan.streams - 1, max_batch=1)
    return Plan(streams=0, max_batch=1)
