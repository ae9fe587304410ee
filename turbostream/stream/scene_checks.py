"""Checks of the values of a scene; each error is one sentence. Pure, any thread."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from turbostream.stream.adapters import AdapterError, check_adapters
from turbostream.stream.fade import EASINGS, MAX_FADE_S
from turbostream.stream.modulator import (
    MOST_DEPTH,
    MOST_MODULATORS,
    PERIOD,
    SHAPES,
    UNITS,
    Modulator,
)
from turbostream.stream.noise_path import Walker
from turbostream.stream.shot import MAX_GUIDANCE, MAX_SEED, MAX_SIDE, Prompts, is_number
from turbostream.stream.tempo import BPM, MOST_BEATS

MAX_PROMPT_CHARACTERS = 1000
MOST_PROMPTS = 8  # in one blend
MOST_MIXED = 16  # in a fade between two blends
MOST_SEEDS = 32  # in a recipe: the noise of MOST_WALKERS walkers, each of up to four seeds
MAX_WEIGHT = 1000.0
MOTIONS = ("walk", "hold", "fresh")
MAX_SPEED = 4.0
MOST_STEPS = 4
MAX_PHASE = 1e12  # seeds; beyond it a float no longer tells two frames apart
MOST_BEATS_PER_BAR = 16
QUANTISE = ("off", "beat", "bar")
SOURCES = ("none", "picture", "feedback")
MOVES = {  # the motion of feedback: least and most per second
    "zoom": (0.25, 4.0),
    "rotation": (-180.0, 180.0),
    "shift_x": (-1.0, 1.0),
    "shift_y": (-1.0, 1.0),
}
SOURCE_FIELDS = ("source", "strength", *MOVES)
RHYTHM = frozenset({"bpm", "beat", "beats_per_bar", "quantise", "modulators"})
MASTERS = RHYTHM | {"brightness"}  # fields that looks and undo leave alone
PATCHABLE = (
    "prompt", "prompts", "motion", "speed", "seed", "phase", "brightness", "steps",
    "guidance", "negative", *SOURCE_FIELDS, "adapters", "bpm",
    "beat", "beats_per_bar", "quantise", "modulators", "fade_s", "easing",
)  # fmt: skip
MODULATOR_FIELDS = ("parameter", "shape", "depth", "period", "unit", "phase")


class SceneError(ValueError):
    """One sentence about an invalid scene; the scene in force stays as it is."""


def check_prompt(prompt: object) -> str:
    """The prompt, stripped; raises SceneError if it is not 1 to 1,000 printable characters.

    Line breaks and tabs, which a form's text may contain, become spaces; other control characters
    and lone surrogates are refused.
    """
    if not isinstance(prompt, str):
        raise SceneError("The prompt must be text.")
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise SceneError(
            f"The prompt has {len(prompt):,} characters; {MAX_PROMPT_CHARACTERS:,} is the most."
        )
    prompt = prompt.translate({9: " ", 10: " ", 13: " "}).strip()
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in prompt):
        raise SceneError("The prompt holds control characters; send plain text.")
    if not prompt:
        raise SceneError("The prompt is empty; send a few words.")
    return prompt


def check_negative(text: object) -> Prompts:
    """The negative words of their web form, a text that may be empty; raises SceneError."""
    if not isinstance(text, str):
        raise SceneError("The negative words must be text.")
    return ((check_prompt(text), 1.0),) if text.strip() else ()


def check_prompts(prompts: object) -> Prompts:
    """A blend from its web form, [{"text", "weight"}, ...], its weights not scaled; raises
    SceneError."""
    form = 'Send prompts as a list such as [{"text": "a red star", "weight": 1}].'
    if not isinstance(prompts, list):
        raise SceneError(form)
    if not 1 <= len(prompts) <= MOST_PROMPTS:
        raise SceneError(
            f"The blend has {len(prompts):,} prompts; send at least 1 and at most {MOST_PROMPTS}."
        )
    for entry in prompts:
        if not isinstance(entry, Mapping) or not {"text"} <= set(entry) <= {"text", "weight"}:
            raise SceneError(form)
    return check_mix([(entry["text"], entry.get("weight", 1.0)) for entry in prompts])


def check_mix(pairs: list[tuple[object, object]]) -> Prompts:
    """The checked texts and weights. Each weight is 0 to MAX_WEIGHT and not all are 0; they need
    not add up to 1. Raises SceneError."""
    mix = tuple((check_prompt(text), _ranged("weight", w, MAX_WEIGHT)) for text, w in pairs)
    if not any(weight for _, weight in mix):
        raise SceneError("All weights of the blend are 0; give one of its prompts a weight.")
    return mix


def check(name: str, value: object) -> Any:
    """The checked value of a field of PATCHABLE; raises SceneError."""
    match name:
        case "prompt":
            return ((check_prompt(value), 1.0),)
        case "prompts":
            return check_prompts(value)
        case "motion":
            return _chosen(name, value, MOTIONS)
        case "easing":
            return _chosen(name, value, EASINGS)
        case "speed":
            return _ranged(name, value, MAX_SPEED)
        case "brightness" | "strength":
            return _ranged(name, value, 1.0)
        case "steps":
            return None if value is None else _whole(name, value, MOST_STEPS)
        case "guidance":
            return None if value is None else _ranged(name, value, MAX_GUIDANCE, 1.0)
        case "negative":
            return check_negative(value)
        case "source":
            return _chosen(name, value, SOURCES)
        case "zoom" | "rotation" | "shift_x" | "shift_y":
            least, most = MOVES[name]
            return _ranged(name, value, most, least)
        case "adapters":
            try:
                return check_adapters(value)
            except AdapterError as error:
                raise SceneError(str(error)) from None
        case "fade_s":
            return _ranged(name, value, MAX_FADE_S)
        case "phase":
            return _ranged(name, value, MAX_PHASE)
        case "seed":
            return check_seed(value)
        case "bpm":
            return _ranged(name, value, BPM[1], BPM[0])
        case "beat":
            return _ranged(name, value, MOST_BEATS)
        case "beats_per_bar":
            return _whole(name, value, MOST_BEATS_PER_BAR)
        case "quantise":
            return _chosen(name, value, QUANTISE)
        case "modulators":
            return check_modulators(value)
    raise SceneError(f"A scene has no {name[:40]!r}; it has {', '.join(PATCHABLE)}.")


def check_seed(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SEED:
        raise SceneError(f"The seed must be a whole number from 0 to {MAX_SEED}.")
    return value


def check_side(name: str, value: object) -> int:
    return _whole(name, value, MAX_SIDE)


def check_modulators(data: object) -> tuple[Modulator, ...]:
    """Modulators from their web form, a list of objects with MODULATOR_FIELDS; all but the
    parameter have defaults. Raises SceneError."""
    form = (
        'Send modulators as a list such as [{"parameter": "speed", "shape": "sine", "depth": 0.5, '
        '"period": 4, "unit": "beats"}].'
    )
    if not isinstance(data, list):
        raise SceneError(form)
    if len(data) > MOST_MODULATORS:
        raise SceneError(f"There are {len(data):,} modulators; {MOST_MODULATORS} is the most.")
    found: dict[str, Modulator] = {}
    for entry in data:
        if not isinstance(entry, Mapping) or not {"parameter"} <= set(entry) <= {*MODULATOR_FIELDS}:
            raise SceneError(form)
        parameter = _chosen("parameter of a modulator", entry["parameter"], tuple(MOST_DEPTH))
        if parameter in found:
            raise SceneError(f"The {parameter} has two modulators; send one for each parameter.")
        fields = {name: _of_modulator(name, value, parameter) for name, value in entry.items()}
        found[parameter] = Modulator(**fields)
    return tuple(found.values())


def _of_modulator(name: str, value: object, parameter: str) -> Any:
    named = f"{name} of a modulator"
    match name:
        case "shape":
            return _chosen(named, value, SHAPES)
        case "unit":
            return _chosen(named, value, UNITS)
        case "depth":
            return _ranged(named, value, MOST_DEPTH[parameter])
        case "period":
            return _ranged(named, value, PERIOD[1], PERIOD[0])
        case "phase":
            return _ranged(named, value, 1.0)
    return parameter


def check_walkers(data: object, most: int) -> tuple[Walker, ...]:
    """Walkers from their JSON form, [[seed, phase, weight], ...], at most `most`; raises
    SceneError."""
    wrong = f"The walkers of a scene must be 1 to {most} of [seed, phase, weight]."
    if not isinstance(data, list | tuple) or not 1 <= len(data) <= most:
        raise SceneError(wrong)
    walkers = []
    for entry in data:
        if not isinstance(entry, list | tuple) or len(entry) != 3:
            raise SceneError(wrong)
        seed, phase, weight = entry
        if not is_number(weight) or not 0 < abs(weight) <= 1:
            raise SceneError("The weight of a walker must be a number from -1 to 1 and not 0.")
        walkers.append(Walker(check_seed(seed), check("phase", phase), float(weight)))
    if abs(sum(walker.weight**2 for walker in walkers) - 1) > 1e-6:
        raise SceneError("The squared weights of the walkers of a scene must add up to 1.")
    return tuple(walkers)


def _chosen(name: str, value: object, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise SceneError(f"The {name} must be one of {', '.join(choices)}.")
    return value


def _whole(name: str, value: object, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise SceneError(f"The {name} must be a whole number from 1 to {most}.")
    return value


def _ranged(name: str, value: object, most: float, least: float = 0.0) -> float:
    if not is_number(value) or not least <= value <= most:  # type: ignore[operator]
        raise SceneError(f"The {name} must be a number from {least:g} to {most:g}.")
    return float(value)  # type: ignore[arg-type]
