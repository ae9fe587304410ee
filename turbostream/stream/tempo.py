"""The tempo: which beat it is at a time, and when the next one is. Pure, any thread."""

from __future__ import annotations

import math
from dataclasses import dataclass

BPM = (20.0, 300.0)  # beats per minute, least and most
MOST_BEATS = 1e9  # six years at the highest tempo


@dataclass(frozen=True)
class Tempo:
    """A grid of beats. bpm: beats per minute. beat: the number of the beat at `at`, whole on the
    beat. at: seconds on the caller's clock."""

    bpm: float = 120.0
    beat: float = 0.0
    at: float = 0.0

    @property
    def beats_per_s(self) -> float:
        return self.bpm / 60.0

    def beat_at(self, time: float) -> float:
        """The beat number at `time`, with its fraction."""
        return self.beat + (time - self.at) * self.bpm / 60.0

    def time_of(self, beat: float) -> float:
        """When the beat number is `beat`."""
        return self.at + (beat - self.beat) * 60.0 / self.bpm

    def retimed(self, time: float, bpm: float | None = None, beat: float | None = None) -> Tempo:
        """The tempo with `bpm` from `time` on, where the beat number is `beat`; None keeps the one
        in force, so that a change of the bpm alone moves no beat that has passed."""
        bpm = self.bpm if bpm is None else bpm
        if beat is None:
            if bpm == self.bpm:
                return self
            beat = self.beat_at(time)
        return Tempo(bpm, beat, time)


def next_multiple(beat: float, every: int) -> float:
    """The first multiple of `every` that is not below `beat`: the next beat, or with the beats per
    bar the start of the next bar."""
    return float(math.ceil(beat / every) * every)
