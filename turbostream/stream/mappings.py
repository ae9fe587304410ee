"""Mappings of MIDI controls and of sound to parameters: their checks and their JSON form.

The browser applies them; the server only keeps them. Their form is checked, not whether their
target exists: a mapping whose parameter was removed is kept, has no effect, and can be used by a
version that has the parameter. Pure data and pure functions, any thread.

    {"midi": [{"device", "channel", "type", "number", "target", "mode", "low", "high", "value"}],
     "sound": [{"source", "target", "amount", "smoothing", "floor", "low", "high", "value"}]}
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from turbostream.stream.scene_checks import SceneError
from turbostream.stream.shot import is_number

MOST_ENTRIES = 256  # of each kind
LONGEST_DEVICE = 200  # characters
LONGEST_TARGET = 60
LONGEST_VALUE = 1000
ANY_DEVICE = "*"
NUMBERS = {"cc": 127, "cc14": 31, "nrpn": 16383, "note": 127, "pitchbend": 0, "program": 127}
WITHOUT_NUMBER = ("pitchbend", "program")  # a program may have one: then only that program counts
MODES = ("continuous", "toggle", "trigger", "momentary")
SOURCES = ("level", "low", "mid", "high", "onset")

Value = str | float | bool


@dataclass(frozen=True)
class MidiMapping:
    """One MIDI control and the parameter that it sets.

    device: the name of the input, or ANY_DEVICE. channel: 1 to 16. number: the controller, the note
    or the program; of "cc14" the controller of the upper seven bits. low, high: what both ends of
    the control give, in the target's unit; None: the target's own range. value: what a trigger
    gives, such as the name of a look.
    """

    channel: int
    type: str
    target: str
    number: int | None = None
    device: str = ANY_DEVICE
    mode: str = "continuous"
    low: float | None = None
    high: float | None = None
    value: Value | None = None

    def as_json(self) -> dict[str, Any]:
        return _as_json(self)


@dataclass(frozen=True)
class SoundMapping:
    """One measured value of the sound and the parameter that it sets.

    amount: -1 to 1; smoothing and floor: 0 to 1; low, high and value as in MidiMapping.
    """

    source: str
    target: str
    amount: float = 1.0
    smoothing: float = 0.0
    floor: float = 0.0
    low: float | None = None
    high: float | None = None
    value: Value | None = None

    def as_json(self) -> dict[str, Any]:
        return _as_json(self)


Entry = TypeVar("Entry", MidiMapping, SoundMapping)


@dataclass(frozen=True)
class Mappings:
    midi: tuple[MidiMapping, ...] = ()
    sound: tuple[SoundMapping, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.midi or self.sound)

    def renamed(self, look: str, new: str) -> Mappings:
        """With the look `look` under its new name, where a mapping recalls it."""

        def named(entry: Entry) -> Entry:
            recalls = entry.target == "look" and entry.value == look
            return replace(entry, value=new) if recalls else entry

        return Mappings(tuple(map(named, self.midi)), tuple(map(named, self.sound)))

    def as_json(self) -> dict[str, list[dict[str, Any]]]:
        return {
            "midi": [entry.as_json() for entry in self.midi],
            "sound": [entry.as_json() for entry in self.sound],
        }


def from_json(data: object) -> Mappings:
    """The inverse of `Mappings.as_json`; a missing list is empty. Raises SceneError."""
    if not isinstance(data, Mapping):
        raise SceneError('The mappings must be a JSON object such as {"midi": [], "sound": []}.')
    if unknown := set(data) - {"midi", "sound"}:
        raise SceneError(f"The mappings have no {sorted(map(str, unknown))[0][:40]!r}.")
    midi = _entries("MIDI", data.get("midi", []), _midi_entry)
    return Mappings(midi, _entries("sound", data.get("sound", []), _sound_entry))


def with_unknown(mappings: Mappings, known: Callable[[str], bool]) -> dict[str, Any]:
    """The JSON form in which each entry whose target is not `known` has "unknown": true."""
    answer = mappings.as_json()
    for entry in (*answer["midi"], *answer["sound"]):
        if not known(entry["target"]):
            entry["unknown"] = True
    return answer


def _as_json(entry: MidiMapping | SoundMapping) -> dict[str, Any]:
    values = {field.name: getattr(entry, field.name) for field in fields(entry)}
    return {name: value for name, value in values.items() if value is not None}


# -- checks ----------------------------------------------------------------------------------------


def _entries(
    kind: str, data: object, entry_of: Callable[[Mapping[str, Any]], Entry]
) -> tuple[Entry, ...]:
    if not isinstance(data, list):
        raise SceneError(f"The {kind} mappings must be a list.")
    if len(data) > MOST_ENTRIES:
        raise SceneError(f"There are {len(data):,} {kind} mappings; {MOST_ENTRIES} is the most.")
    found = []
    for number, entry in enumerate(data, 1):
        if not isinstance(entry, Mapping):
            raise SceneError(f"The {kind} mapping {number} must be an object.")
        try:
            found.append(entry_of(entry))
        except SceneError as error:
            raise SceneError(f"The {kind} mapping {number} cannot be used: {error}") from None
    return tuple(found)


def _midi_entry(data: Mapping[str, Any]) -> MidiMapping:
    _check_fields(data, MidiMapping, ("channel", "type", "target"))
    kind = _chosen("type", data["type"], tuple(NUMBERS))
    number = data.get("number")
    if number is not None or kind not in WITHOUT_NUMBER:
        number = _whole("number", number, 0, NUMBERS[kind])
    return MidiMapping(
        channel=_whole("channel", data["channel"], 1, 16),
        type=kind,
        target=_text("target", data["target"], LONGEST_TARGET),
        number=number,
        device=_text("device", data.get("device", ANY_DEVICE), LONGEST_DEVICE),
        mode=_chosen("mode", data.get("mode", "continuous"), MODES),
        **_outcome(data),
    )


def _sound_entry(data: Mapping[str, Any]) -> SoundMapping:
    _check_fields(data, SoundMapping, ("source", "target"))
    return SoundMapping(
        source=_chosen("source", data["source"], SOURCES),
        target=_text("target", data["target"], LONGEST_TARGET),
        amount=_number("amount", data.get("amount", 1.0), -1.0, 1.0),
        smoothing=_number("smoothing", data.get("smoothing", 0.0), 0.0, 1.0),
        floor=_number("floor", data.get("floor", 0.0), 0.0, 1.0),
        **_outcome(data),
    )


def _check_fields(data: Mapping[str, Any], kind: type, required: tuple[str, ...]) -> None:
    """Accepts "unknown" too, which GET /mappings adds, so that its answer can be sent back."""
    known = {field.name for field in fields(kind)}
    if missing := [name for name in required if name not in data]:
        raise SceneError(f'the field "{missing[0]}" is missing.')
    if unknown := set(data) - known - {"unknown"}:
        raise SceneError(f"there is no field {sorted(map(str, unknown))[0][:40]!r}.")


def _outcome(data: Mapping[str, Any]) -> dict[str, Any]:
    """low, high and value."""
    found: dict[str, Any] = {}
    for name in ("low", "high"):
        value = data.get(name)
        if value is not None and not is_number(value):
            raise SceneError(f"its {name} must be a number.")
        found[name] = value
    value = data.get("value")
    if isinstance(value, str):
        _text("value", value, LONGEST_VALUE)
    elif not (value is None or isinstance(value, bool) or is_number(value)):
        raise SceneError("its value must be text, a number, true or false.")
    found["value"] = value
    return found


def _text(name: str, value: object, most: int) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= most:
        raise SceneError(f"its {name} must be text of 1 to {most:,} characters.")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in value):
        raise SceneError(f"its {name} holds control characters.")
    return value


def _chosen(name: str, value: object, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise SceneError(f"its {name} must be one of {', '.join(choices)}.")
    return value


def _whole(name: str, value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise SceneError(f"its {name} must be a whole number from {low} to {high}.")
    return value


def _number(name: str, value: object, low: float, high: float) -> float:
    if not is_number(value) or not low <= value <= high:  # type: ignore[operator]
        raise SceneError(f"its {name} must be a number from {low:g} to {high:g}.")
    return float(value)  # type: ignore[arg-type]
