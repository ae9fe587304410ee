"""What is tried when GPU memory runs out: a smaller batch, less in flight, the plain path.

Pure decisions, no torch: `flight.py` builds what the plan says and asks for the next one when
that does not fit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

BATCHES = (1, 2, 4, 8)


@dataclass(frozen=True)
class Plan:
    """lanes: graphs that run at once, 0 for the plain path. max_batch: shots a submission."""

    lanes: int
    max_batch: int
    spare: int = 1  # submissions beyond one per lane: their JPEG is being made

    @property
    def depth(self) -> int:
        """Submissions under way."""
        return self.lanes + self.spare if self.lanes else 1

    def batch_of(self, shots: int) -> int:
        """The captured batch size that holds so many shots."""
        return next(size for size in BATCHES if size >= shots)

    def __str__(self) -> str:
        if not self.lanes:
            return "the plain path"
        return f"{self.lanes} in flight, batches of {self.max_batch} at most"


def smaller(plan: Plan, batch: int) -> Plan | None:
    """The next best plan after `batch` shots at once did not fit, or None when there is none."""
    if not plan.lanes:
        return None
    if batch > 1:
        return replace(plan, max_batch=batch // 2)
    if plan.lanes > 1:
        return Plan(plan.lanes - 1, max_batch=1)
    return Plan(lanes=0, max_batch=1)
