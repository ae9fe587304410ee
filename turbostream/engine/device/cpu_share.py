"""How frames share a CPU's cores: several at a time, each on few threads.

Operators that run on several OpenMP threads wait for the slowest one some four hundred times per
frame, so a single busy neighbour on one of the cores delays every frame by many time slices. Frames
side by side wait for nothing, need a third less CPU time, and their bytes do not depend on the
number of cores (docs/experiments/2026-11.md). Pure, any thread.
"""

from __future__ import annotations

from dataclasses import dataclass

# Parameters of the UNet: a larger one takes seconds per frame, which all cores together shorten.
MOST_PARAMETERS = 100_000_000
MOST_PAINTERS = 4  # frames at a time: more would only be older when they are shown


@dataclass(frozen=True)
class CpuShare:
    """painters: how many frames are painted at a time. threads: of each frame's operators."""

    painters: int
    threads: int
    reason: str

    def __str__(self) -> str:
        return f"{self.painters} x {self.threads}: {self.reason}"


def share(cores: int, parameters: int) -> CpuShare:
    """cores: that this process may use. parameters: of the UNet."""
    if parameters > MOST_PARAMETERS:
        if cores > 2:
            return CpuShare(1, cores - 1, f"one of {cores} cores is left to the server")
        return CpuShare(1, cores, "the model uses all cores; the server needs little of one")
    if cores == 1:
        return CpuShare(1, 1, "there is one core")
    ours = cores if cores == 2 else cores - 1  # the server needs little of one
    threads = max(1, ours // MOST_PAINTERS)
    painters = min(MOST_PAINTERS, ours // threads)
    return CpuShare(painters, threads, f"{painters} frames side by side on {cores} cores")
