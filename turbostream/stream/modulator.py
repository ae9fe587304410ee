"""Modulators: periodic changes of a parameter, as pure functions of time. Any thread.

The integral of each wave has a closed form, which the distance of a walk with a modulated speed
needs: a sum over frames or periods would drift, and would take longer the longer it runs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from zlib import crc32

from turbostream.stream.tempo import Tempo

SHAPES = ("sine", "triangle", "saw", "square", "random")
UNITS = ("beats", "seconds")
PERIOD = (0.05, 86_400.0)  # beats or seconds, least and most
MOST_MODULATORS = 16
MOST_DEPTH = {  # parameter -> the greatest depth
    **{f"weight_{number}": 1.0 for number in range(1, 9)},
    "speed": 1.0,
    "strength": 1.0,
    "brightness": 1.0,
    "phase": 16.0,
}
_WORD = 2**64 - 1


@dataclass(frozen=True)
class Modulator:
    """How one parameter moves around its value.

    parameter: speed, strength and weight_1 to weight_8 become value * (1 + depth * wave),
    brightness becomes value * (1 - depth * (1 - wave) / 2), and phase becomes value + depth * wave,
    in seeds. The strength stays within its range.
    shape: of the wave, -1 to 1. `sine` and `triangle` begin at 0 and rise; `saw` rises from -1 to 1
    and falls at once; `square` is 1, then -1; `random` moves smoothly between random values, one
    per period. depth: 0 to MOST_DEPTH. period: in `unit`, beats or seconds. phase: 0 to 1, the part
    of a period by which the wave is ahead. began_at: seconds on the caller's clock, when a period
    in seconds began; periods in beats follow the tempo, and it is 0 for them.
    """

    parameter: str
    shape: str = "sine"
    depth: float = 0.5
    period: float = 4.0
    unit: str = "beats"
    phase: float = 0.0
    began_at: float = 0.0

    def periods_at(self, time: float, tempo: Tempo) -> float:
        """The number of periods that have passed at `time`, with their fraction."""
        passed = tempo.beat_at(time) if self.unit == "beats" else time - self.began_at
        return passed / self.period + self.phase

    def wave(self, time: float, tempo: Tempo) -> float:
        """The wave at `time`, -1 to 1."""
        return wave(self.shape, self.periods_at(time, tempo), self._salt)

    def effect(self, time: float, tempo: Tempo) -> float:
        """The factor of the parameter's value at `time`; of the phase the seeds to be added."""
        value = self.wave(time, tempo)
        if self.parameter == "phase":
            return self.depth * value
        if self.parameter == "brightness":
            return 1 - self.depth * (1 - value) / 2
        return 1 + self.depth * value

    def wave_integral(self, start: float, end: float, tempo: Tempo) -> float:
        """The integral of the wave from `start` to `end`, in seconds."""
        rate = (tempo.beats_per_s if self.unit == "beats" else 1.0) / self.period
        first, last = (
            antiderivative(self.shape, self.periods_at(time, tempo), self._salt)
            for time in (start, end)
        )
        return (last - first) / rate

    def following(self, before: Modulator | None, time: float) -> Modulator:
        """This modulator as the one that replaces `before` at `time`: a period in seconds goes on
        where that of `before` was, so that another depth or period does not restart the wave."""
        if self.unit != "seconds":
            return self
        if before is None or before.unit != "seconds":
            return replace(self, began_at=time)
        if self.period == before.period:
            return replace(self, began_at=before.began_at)
        passed = (time - before.began_at) / before.period
        return replace(self, began_at=time - passed * self.period)

    @property
    def _salt(self) -> int:
        """Gives each parameter random values of its own."""
        return crc32(self.parameter.encode()) << 32


def wave(shape: str, periods: float, salt: int = 0) -> float:
    """The value of the wave, -1 to 1, after `periods` periods. salt: selects the values of
    `random`."""
    whole = math.floor(periods)
    at = periods - whole
    match shape:
        case "sine":
            return math.sin(2 * math.pi * at)
        case "triangle":
            return 1 - 4 * abs((at + 0.25) % 1.0 - 0.5)
        case "saw":
            return 2 * at - 1
        case "square":
            return 1.0 if at < 0.5 else -1.0
        case "random":
            start, end = _value(whole, salt), _value(whole + 1, salt)
            return min(1.0, max(-1.0, start + (end - start) * at * at * (3 - 2 * at)))
    raise ValueError(f"there is no shape {shape!r}")


def antiderivative(shape: str, periods: float, salt: int = 0) -> float:
    """An antiderivative of `wave` with respect to `periods`; it stays within -1 to 1.

    The mean of every shape but `random` is 0, so theirs is periodic. The value of `random` at a
    whole period k is (h(k) - h(k-1)) / 2, so the mean of period k is (h(k+1) - h(k-1)) / 4, and the
    sum of the means up to k is (h(k) + h(k-1)) / 4 plus a constant.
    """
    whole = math.floor(periods)
    at = periods - whole
    match shape:
        case "sine":
            return -math.cos(2 * math.pi * at) / (2 * math.pi)
        case "triangle":
            from_peak = (at + 0.25) % 1.0 - 0.5
            return from_peak - 2 * from_peak * abs(from_peak)
        case "saw":
            return at * at - at
        case "square":
            return 0.5 - abs(at - 0.5)
        case "random":
            before = (_hash(whole, salt) + _hash(whole - 1, salt)) / 4
            start, end = _value(whole, salt), _value(whole + 1, salt)
            return before + start * at + (end - start) * (at**3 - at**4 / 2)
    raise ValueError(f"there is no shape {shape!r}")


def _value(period: int, salt: int) -> float:
    """The value of `random` at a whole period, -1 to 1."""
    return (_hash(period, salt) - _hash(period - 1, salt)) / 2


def _hash(period: int, salt: int) -> float:
    """A number from -1 to 1 that looks random: the output function of SplitMix64 (Steele, Lea and
    Flood, "Fast Splittable Pseudorandom Number Generators", 2014)."""
    word = ((period + salt) * 0x9E3779B97F4A7C15) & _WORD
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _WORD
    return (word ^ (word >> 31)) / 2**63 - 1
