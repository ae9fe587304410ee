"""The rhythm of a scene: its tempo, when looks are recalled, and its modulators.

They are master controls like the brightness: looks and undo leave them alone. Pure data and pure
functions, any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from turbostream.stream.modulator import Modulator
from turbostream.stream.scene_checks import MODULATOR_FIELDS, RHYTHM, SceneError, check
from turbostream.stream.shot import Prompts, is_number
from turbostream.stream.tempo import MOST_BEATS, Tempo

Effects = Mapping[str, float]  # parameter -> its factor; of the phase the seeds to be added
NO_EFFECTS: Effects = {}


@dataclass(frozen=True)
class Rhythm:
    """beats_per_bar: a bar begins where the beat number is a multiple of it. quantise: when a look
    is recalled: `off` (at once), `beat` or `bar` (on the next one). modulators: at most one for
    each parameter."""

    tempo: Tempo = Tempo()
    beats_per_bar: int = 4
    quantise: str = "off"
    modulators: tuple[Modulator, ...] = ()

    def begun(self, time: float) -> Rhythm:
        """The rhythm that is at its beat, and begins its periods in seconds, at `time`."""
        modulators = tuple(modulator.following(None, time) for modulator in self.modulators)
        return replace(self, tempo=replace(self.tempo, at=time), modulators=modulators)

    def changed(self, time: float, checked: Mapping[str, Any]) -> Rhythm:
        """The rhythm with those of the `checked` fields that belong to it, from `time` on."""
        if not checked.keys() & RHYTHM:
            return self
        before = {modulator.parameter: modulator for modulator in self.modulators}
        modulators = self.modulators
        if "modulators" in checked:
            modulators = tuple(
                modulator.following(before.get(modulator.parameter), time)
                for modulator in checked["modulators"]
            )
        return Rhythm(
            self.tempo.retimed(time, checked.get("bpm"), checked.get("beat")),
            checked.get("beats_per_bar", self.beats_per_bar),
            checked.get("quantise", self.quantise),
            modulators,
        )

    def effects(self, time: float) -> Effects:
        """What the modulators do at `time`."""
        if not self.modulators:
            return NO_EFFECTS  # most scenes have none, and this runs for every frame
        return {
            modulator.parameter: modulator.effect(time, self.tempo) for modulator in self.modulators
        }

    def gained(self, parameter: str, start: float, end: float) -> float:
        """The integral of the factor of `parameter`, less 1, from `start` to `end`, in seconds; the
        parameter is one that is scaled."""
        for modulator in self.modulators:
            if modulator.parameter == parameter:
                return modulator.depth * modulator.wave_integral(start, end, self.tempo)
        return 0.0

    def as_dict(self, time: float) -> dict[str, Any]:
        """The JSON form for the web; the beat is that at `time`."""
        return {
            "bpm": self.tempo.bpm,
            "beat": self.tempo.beat_at(time),
            "beats_per_bar": self.beats_per_bar,
            "quantise": self.quantise,
            "modulators": [
                {name: getattr(modulator, name) for name in MODULATOR_FIELDS}
                for modulator in self.modulators
            ],
        }


def weighted(mix: Prompts, effects: Effects) -> Prompts:
    """The mix with its modulated weights, and as it is if they would all be 0."""
    if not effects or not any(name.startswith("weight_") for name in effects):
        return mix
    scaled = tuple(
        (text, weight * effects.get(f"weight_{number}", 1.0))
        for number, (text, weight) in enumerate(mix, 1)
    )
    return scaled if any(weight for _, weight in scaled) else mix


# -- the JSON form for files -----------------------------------------------------------------------


def to_json(rhythm: Rhythm, time: float) -> dict[str, Any]:
    """The fields that differ from their defaults at `time`; a period in seconds gives the time
    since it began."""
    values = rhythm.as_dict(time)
    values["beat"] = min(MOST_BEATS, max(0.0, values["beat"]))
    for fields, modulator in zip(values["modulators"], rhythm.modulators, strict=True):
        if modulator.unit == "seconds":
            fields["elapsed_s"] = max(0.0, time - modulator.began_at)
    defaults = Rhythm().as_dict(0.0)
    return {name: value for name, value in values.items() if value != defaults[name]}


def from_json(fields: Mapping[str, Any], time: float) -> Rhythm:
    """The inverse of `to_json`: the rhythm goes on at `time`. Raises SceneError."""
    values = dict(fields)
    entries = values.pop("modulators", [])
    elapsed_s: list[float] = []
    plain: object = entries
    if isinstance(entries, list):
        plain = [dict(entry) if isinstance(entry, Mapping) else entry for entry in entries]
        for entry in plain:
            elapsed_s.append(_elapsed(entry) if isinstance(entry, dict) else 0.0)
    modulators = tuple(
        replace(modulator, began_at=time - passed if modulator.unit == "seconds" else 0.0)
        for modulator, passed in zip(check("modulators", plain), elapsed_s, strict=True)
    )
    checked = {name: check(name, value) for name, value in values.items()}
    return replace(Rhythm().begun(time).changed(time, checked), modulators=modulators)


def _elapsed(entry: dict[str, Any]) -> float:
    """Taken out of the JSON form of a modulator, in seconds."""
    value = entry.pop("elapsed_s", 0.0)
    if not is_number(value) or value < 0:
        raise SceneError("The elapsed_s of a modulator must be a number of seconds.")
    return float(value)
