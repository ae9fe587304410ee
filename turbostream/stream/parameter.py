"""What is known of one thing that a controller can set. Pure data, any thread."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Parameter:
    """One row.

    kind: `continuous` (a number), `whole` (a whole number), `choice` (one of `choices`), `trigger`
    (any value but 0 and false) or `text`. low, high: the accepted range. knob: the range that a
    knob sweeps, where it is not all of low to high. field: whether the scene has a field of this
    name, which takes the value as it is; `desk.py` applies the others. modulation: how a modulator
    acts on it, see `modulator.py`; empty if none can.
    """

    name: str
    kind: str
    help: str
    unit: str = ""
    low: float = 0.0
    high: float = 1.0
    knob: tuple[float, float] | None = None
    default: object = None
    choices: tuple[str, ...] = ()
    field: bool = False
    modulation: str = ""

    @property
    def address(self) -> str:
        """Of OSC messages."""
        return f"/{self.name}"

    @property
    def swept(self) -> tuple[float, float]:
        """The range that a knob sweeps."""
        return self.knob or (self.low, self.high)
