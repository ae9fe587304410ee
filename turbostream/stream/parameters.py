"""The parameter table: everything that a controller can set, each in one row.

The page's controls, `GET /parameters`, the OSC addresses, the targets of MIDI and sound, and the
table in docs/playing.md are made from it. Pure data, any thread; `desk.py` applies the values.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from turbostream.stream.adapters import MOST_WEIGHT, PREFIX, parse
from turbostream.stream.fade import EASINGS, MAX_FADE_S
from turbostream.stream.parameter import Parameter
from turbostream.stream.scene_checks import (
    MAX_PHASE,
    MAX_SPEED,
    MAX_WEIGHT,
    MOST_BEATS_PER_BAR,
    MOST_PROMPTS,
    MOST_STEPS,
    MOTIONS,
    MOVES,
    QUANTISE,
    SOURCES,
    SceneError,
    check,
)
from turbostream.stream.shot import MAX_GUIDANCE, MAX_SEED, Adapters, is_number
from turbostream.stream.tempo import BPM

MOVE_UNITS = {
    "zoom": "per second",
    "rotation": "degrees per second",
    "shift_x": "widths per second",
    "shift_y": "heights per second",
}
OFF_ON = ("off", "on")
MOST_LOOK_NUMBER = 999
MAX_NAME_CHARACTERS = 1000


def _weight(number: int) -> Parameter:
    return Parameter(
        f"weight_{number}",
        "continuous",
        f"weight of prompt {number} in the blend",
        high=MAX_WEIGHT,
        knob=(0.0, 1.0),
        default=1.0,
        modulation="scale",
    )


def _move(name: str, help: str, default: float, knob: tuple[float, float]) -> Parameter:
    low, high = MOVES[name]
    return Parameter(
        name,
        "continuous",
        help,
        unit=MOVE_UNITS[name],
        low=low,
        high=high,
        knob=knob,
        default=default,
        field=True,
    )


_ROWS = (
    Parameter("prompt", "text", "the words; they replace a blend", field=True),
    *(_weight(number) for number in range(1, MOST_PROMPTS + 1)),
    Parameter(
        "speed",
        "continuous",
        "speed of the walk through noise",
        unit="seeds per second",
        high=MAX_SPEED,
        default=0.15,
        field=True,
        modulation="scale",
    ),
    Parameter(
        "motion",
        "choice",
        "how the noise moves",
        default="walk",
        choices=MOTIONS,
        field=True,
    ),
    Parameter("freeze", "choice", "stop the noise", default="off", choices=OFF_ON),
    Parameter(
        "brightness",
        "continuous",
        "master brightness",
        default=1.0,
        field=True,
        modulation="dim",
    ),
    Parameter("black", "choice", "fade to black", default="off", choices=OFF_ON),
    Parameter(
        "seed",
        "whole",
        "seed of the noise; the walk restarts there",
        high=MAX_SEED,
        knob=(0, 127),
        default=0,
        field=True,
    ),
    Parameter(
        "phase",
        "continuous",
        "position of the walk: seeds passed since the seed",
        unit="seeds",
        high=MAX_PHASE,
        knob=(0.0, 8.0),
        default=0.0,
        field=True,
        modulation="shift",
    ),
    Parameter("new_seed", "trigger", "another random seed"),
    Parameter(
        "steps",
        "whole",
        "denoising steps, as many as the model can take; more is slower",
        low=1,
        high=MOST_STEPS,
        field=True,
    ),
    Parameter(
        "guidance",
        "continuous",
        "how strongly the picture follows the words, where the model uses it; 1 is off, and more "
        "takes twice the time",
        low=1.0,
        high=MAX_GUIDANCE,
        knob=(1.0, 10.0),
        field=True,
    ),
    Parameter("negative", "text", "words that guidance leads away from; may be empty", field=True),
    Parameter(
        "source",
        "choice",
        "what frames start from: noise alone, the input picture or the frame before",
        default="none",
        choices=SOURCES,
        field=True,
    ),
    Parameter(
        "strength",
        "continuous",
        "how much of the source is repainted",
        default=0.6,
        field=True,
        modulation="scale",
    ),
    _move("zoom", "zoom of feedback, a factor", 1.0, (0.5, 1.5)),
    _move("rotation", "rotation of feedback, clockwise", 0.0, (-90.0, 90.0)),
    _move("shift_x", "shift of feedback to the right", 0.0, (-0.5, 0.5)),
    _move("shift_y", "shift of feedback downwards", 0.0, (-0.5, 0.5)),
    Parameter("look", "text", "recall the look of this name"),
    Parameter(
        "look_number",
        "whole",
        "recall the look at this place",
        low=1,
        high=MOST_LOOK_NUMBER,
        knob=(1, 9),
    ),
    Parameter("previous_look", "trigger", "recall the look before the last one recalled"),
    Parameter("next_look", "trigger", "recall the look after the last one recalled"),
    Parameter("undo", "trigger", "undo the last change"),
    Parameter("redo", "trigger", "redo what was undone"),
    Parameter("setlist_play", "choice", "play the setlist", default="off", choices=OFF_ON),
    Parameter("setlist_previous", "trigger", "previous entry of the setlist"),
    Parameter("setlist_next", "trigger", "next entry of the setlist"),
    Parameter("record", "choice", "record the stream", default="off", choices=OFF_ON),
    Parameter(
        "fade_s",
        "continuous",
        "fade of this controller's later changes",
        unit="seconds",
        high=MAX_FADE_S,
        knob=(0.0, 60.0),
        default=0.0,
    ),
    Parameter(
        "easing",
        "choice",
        "easing of this controller's later changes",
        default="smooth",
        choices=EASINGS,
    ),
    Parameter(
        "bpm",
        "continuous",
        "tempo",
        unit="beats per minute",
        low=BPM[0],
        high=BPM[1],
        default=120.0,
        field=True,
    ),
    Parameter("tap", "trigger", "tap the tempo, once a beat"),
    Parameter(
        "beats_per_bar",
        "whole",
        "beats in a bar",
        low=1,
        high=MOST_BEATS_PER_BAR,
        default=4,
        field=True,
    ),
    Parameter(
        "quantise",
        "choice",
        "when a look is recalled: at once, on the next beat or on the next bar",
        default="off",
        choices=QUANTISE,
        field=True,
    ),
)

_table = {row.name: row for row in _ROWS}
PARAMETERS: Mapping[str, Parameter] = MappingProxyType(_table)


def load_adapters(loras: str) -> Adapters:
    """Add a row for the weight of each adapter of LORAS, in place of those of an earlier call;
    returns names and weights for the first scene. Once, at the start of the process, before what
    makes addresses and controls of the table is imported."""
    for name in [name for name in _table if name.startswith(PREFIX)]:
        del _table[name]
    found = parse(loras)
    for one in found:
        name, text = PREFIX + one.name, f"weight of the LoRA {one.name}"
        _table[name] = Parameter(name, "continuous", text, high=MOST_WEIGHT, default=one.weight)
    return tuple((one.name, one.weight) for one in found)


def check_value(name: str, value: object) -> Any:
    """The checked value of the parameter `name`; raises SceneError with one sentence.

    A trigger gives a bool: whether it fires. A choice of off and on also takes booleans, 0 and 1.
    """
    row = PARAMETERS.get(name)
    if row is None:
        raise SceneError(f"There is no parameter {name[:40]!r}; GET /parameters lists all of them.")
    match row.kind:
        case "continuous":
            return _number(row, value)
        case "whole":
            return _whole(row, value)
        case "choice":
            return _choice(row, value)
        case "trigger":
            return _fires(row, value)
    if name in ("prompt", "negative"):
        check(name, value)
        return value
    return _text(row, value)


def as_json() -> list[dict[str, Any]]:
    """The rows as `GET /parameters` answers them."""
    return [
        {
            "name": row.name,
            "kind": row.kind,
            "help": row.help,
            "unit": row.unit,
            "low": row.low if row.kind in ("continuous", "whole") else None,
            "high": row.high if row.kind in ("continuous", "whole") else None,
            "knob": list(row.swept) if row.kind in ("continuous", "whole") else None,
            "default": row.default,
            "choices": list(row.choices),
            "modulation": row.modulation,
            "address": row.address,
        }
        for row in PARAMETERS.values()
    ]


def _number(row: Parameter, value: object) -> float:
    if not is_number(value) or not row.low <= value <= row.high:  # type: ignore[operator]
        raise SceneError(f"The {row.name} must be a number from {row.low:g} to {row.high:g}.")
    return float(value)  # type: ignore[arg-type]


def _whole(row: Parameter, value: object) -> int:
    """A float without a fraction counts as whole: OSC and JavaScript have no other numbers."""
    if is_number(value) and value == int(value) and row.low <= value <= row.high:  # type: ignore
        return int(value)  # type: ignore[call-overload, no-any-return]
    raise SceneError(
        f"The {row.name} must be a whole number from {int(row.low)} to {int(row.high)}."
    )


def _choice(row: Parameter, value: object) -> str:
    if row.choices == OFF_ON and (isinstance(value, bool) or value in (0, 1)):
        return OFF_ON[int(bool(value))]
    if not isinstance(value, str) or value not in row.choices:
        raise SceneError(f"The {row.name} must be one of {', '.join(row.choices)}.")
    return value


def _fires(row: Parameter, value: object) -> bool:
    if value is None or isinstance(value, str | bool):
        return value is not False
    if not is_number(value):
        raise SceneError(f"The trigger {row.name} takes a number, true or false.")
    return value != 0


def _text(row: Parameter, value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME_CHARACTERS:
        raise SceneError(f"The {row.name} must be text of 1 to {MAX_NAME_CHARACTERS:,} characters.")
    return value
