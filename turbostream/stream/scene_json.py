"""The JSON form of a scene, for files and for the handover to another process. Pure, any thread.

It contains no clock value of a process: phases and the beat are current, and a fade gives the time
since it began. Optional fields are left out at their defaults. Version 1, until 2026-11-26, had one
prompt, no fades, and a walk along great circles; version 2, until 2026-11-27, no rhythm; version 3
no source, version 4 neither steps nor adapters, and version 5 no guidance; the last three are still
written where nothing later is set, for programs that know none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from turbostream.stream import fade, rhythm
from turbostream.stream.blend import normalised
from turbostream.stream.noise_path import Walker, Walkers
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import (
    MAX_PHASE,
    MOST_MIXED,
    MOST_SEEDS,
    RHYTHM,
    SOURCE_FIELDS,
    SceneError,
    check,
    check_mix,
    check_prompt,
    check_side,
    check_walkers,
)
from turbostream.stream.shot import Adapters, Prompts, is_number

VERSION = 6
WITHOUT_GUIDANCE = 5
WITHOUT_STEPS = 4
WITHOUT_SOURCE = 3
SIZE = ("width", "height")


def to_json(scene: Scene, time: float) -> dict[str, Any]:
    """The scene and its fades at `time` (seconds)."""
    passed = scene.distance(time)
    walkers = _at(scene.walkers, passed)
    values: dict[str, Any] = {
        "version": _version(scene, time),
        "prompt": scene.prompt,
        "motion": scene.motion,
        "speed": scene.speed,
        "seed": scene.seed,
        "phase": walkers[-1][1],
    }
    if len(scene.prompts) > 1:
        values["prompts"] = [list(pair) for pair in scene.prompts]
    if len(walkers) > 1:
        values["walkers"] = walkers
    if scene.brightness != 1:
        values["brightness"] = scene.brightness
    if scene.steps is not None:
        values["steps"] = scene.steps
    if scene.guidance is not None:
        values["guidance"] = scene.guidance
    if scene.negative:
        values["negative"] = [list(pair) for pair in scene.negative]
    values |= _source(scene)
    if scene.adapters:
        values["adapters"] = dict(scene.adapters)
    starts: dict[str, tuple[fade.Transition[Any] | None, Callable[[Any], Any]]] = {
        "words": (scene.words_from, lambda start: [list(pair) for pair in start]),
        "noise": (scene.noise_from, lambda start: _at(start, passed)),
        "speed": (scene.speed_from, float),
        "brightness": (scene.brightness_from, float),
        "strength": (scene.strength_from, float),
        "adapters": (scene.adapters_from, dict),
        "guidance": (scene.guidance_from, lambda start: start),
        "negative": (scene.negative_from, lambda start: [list(pair) for pair in start]),
    }
    fades = {
        name: fade.to_json(transition, time, form(transition.start))
        for name, (transition, form) in starts.items()
        if transition is not None and not transition.fade.is_over(time)
    }
    if fades:
        values["fades"] = fades
    for name in SIZE:
        if (side := getattr(scene, name)) is not None:
            values[name] = side
    return values | rhythm.to_json(scene.rhythm, time)


def from_json(data: object, time: float) -> Scene:
    """The inverse of `to_json`: the scene continues at `time` (seconds).

    Missing fields take their defaults; only the prompt is required. Raises SceneError with one
    sentence for anything that no version of the program up to this one writes.
    """
    if not isinstance(data, Mapping):
        raise SceneError("The scene is not a JSON object.")
    fields = dict(data)
    version = fields.pop("version", VERSION)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise SceneError("The version of the scene must be a whole number from 1.")
    if version > VERSION:
        raise SceneError(
            "The scene was written by a newer version of this program (format "
            f"{str(version)[:20]}; this one reads up to {VERSION})."
        )
    if "prompt" not in fields:
        raise SceneError("The scene has no prompt.")
    values: dict[str, Any] = {"prompts": check("prompt", fields.pop("prompt"))}
    if "prompts" in fields:
        values["prompts"] = _mix(fields.pop("prompts"))
    walker = Walker(check("seed", fields.pop("seed", 0)), check("phase", fields.pop("phase", 0.0)))
    values["walkers"] = (walker,)
    if "walkers" in fields:
        values["walkers"] = check_walkers(fields.pop("walkers"), MOST_SEEDS)
    for name in SIZE:
        if name in fields:
            values[name] = check_side(name, fields.pop(name))
    if "negative" in fields:
        values["negative"] = _negative(fields.pop("negative"))
    if "adapters" in fields:
        values["adapters"] = _adapters(fields.pop("adapters"))
    values |= _fades(fields.pop("fades", {}), time)
    beating = {name: fields.pop(name) for name in RHYTHM & fields.keys()}
    values["rhythm"] = rhythm.from_json(beating, time)
    for name in ("motion", "speed", "brightness", "steps", "guidance", *SOURCE_FIELDS):
        if name in fields:
            values[name] = check(name, fields.pop(name))
    if fields:
        raise SceneError(f"A scene has no {str(next(iter(fields)))[:40]!r}.")
    return Scene(**values, anchored_at=time)


def _source(scene: Scene) -> dict[str, Any]:
    """The fields of the source that differ from their defaults."""
    values = {name: getattr(scene, name) for name in SOURCE_FIELDS}
    return {name: value for name, value in values.items() if value != getattr(Scene, name)}


def _version(scene: Scene, time: float) -> int:
    """The earliest version whose programs can read the scene."""
    fading = (fade.still(one, time) for one in (scene.guidance_from, scene.negative_from))
    if scene.guidance is not None or scene.negative or any(one is not None for one in fading):
        return VERSION
    if scene.steps is not None or scene.adapters:
        return WITHOUT_GUIDANCE
    return WITHOUT_STEPS if _has_source(scene, time) else WITHOUT_SOURCE


def _has_source(scene: Scene, time: float) -> bool:
    """Whether a program that knows no source would have to refuse the scene."""
    fades = fade.still(scene.strength_from, time) is not None
    swings = any(modulator.parameter == "strength" for modulator in scene.rhythm.modulators)
    return bool(_source(scene)) or fades or swings


def _fades(data: object, time: float) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise SceneError("The fades of a scene must be a JSON object.")
    readers: dict[str, Callable[[object], Any]] = {
        "words": _mix,
        "noise": lambda start: check_walkers(start, MOST_SEEDS),
        "speed": lambda start: check("speed", start),
        "brightness": lambda start: check("brightness", start),
        "strength": lambda start: check("strength", start),
        "adapters": _adapters,
        "guidance": lambda start: check("guidance", start),
        "negative": _negative,
    }
    found: dict[str, Any] = {}
    for name, values in data.items():
        if name not in readers:
            raise SceneError(f"A scene has no fade of {str(name)[:40]!r}.")
        try:
            found[f"{name}_from"] = fade.from_json(values, time, readers[name])
        except SceneError:
            raise
        except ValueError as error:
            raise SceneError(f"The scene cannot be read: {error}.") from None
    return found


def _adapters(data: object) -> Adapters:
    return tuple(check("adapters", data).items())


def _mix(data: object) -> Prompts:
    return check_mix(_pairs(data))


def _negative(data: object) -> Prompts:
    """One of the texts may be empty, in a fade from or to no words."""
    if data == []:
        return ()
    pairs = [("" if text == "" else check_prompt(text), weight) for text, weight in _pairs(data)]
    if any(not is_number(weight) or weight <= 0 for _, weight in pairs):
        raise SceneError("The weights of negative words must be positive numbers.")
    return normalised(tuple(pairs))


def _pairs(data: object) -> list[tuple[Any, Any]]:
    wrong = f"The prompts of a scene must be 1 to {MOST_MIXED} of [text, weight]."
    if not isinstance(data, list) or not 1 <= len(data) <= MOST_MIXED:
        raise SceneError(wrong)
    if any(not isinstance(pair, list) or len(pair) != 2 for pair in data):
        raise SceneError(wrong)
    return [(pair[0], pair[1]) for pair in data]


def _at(walkers: Walkers, passed: float) -> list[list[float]]:
    return [
        [walker.seed, min(walker.phase + passed, MAX_PHASE), walker.weight] for walker in walkers
    ]
