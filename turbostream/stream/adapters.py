"""The adapters (LoRA) that LORAS names, and their weights. Pure data, any thread.

    LORAS=ink=~/ink.safetensors@0.8,pixel=owner/repository@revision:file.safetensors@1.2

Each entry is `name=place@weight`. The weight may be left out and is 1 then. The place is a path,
or a hub id, which may be followed by @ and a revision, and by : and a file of the repository. The
last part after an @ is the weight where it is a number, so a revision that is a number needs a
weight behind it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from turbostream.stream.shot import Adapters, Shot, is_number

MOST_ADAPTERS = 8
MOST_WEIGHT = 2.0
DIGITS = 3  # of a weight: equal weights make equal shots, and a fade of 2 s has 60 steps or more
PREFIX = "lora_"  # of the parameters
# Merging a new weight takes as long as several frames, and frames of different weights cannot share
# a batch.
STEPS_PER_S = 12
NAME = r"[A-Za-z0-9_-]{1,32}"
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,7}(?:\.[0-9]{0,7})?|\.[0-9]{1,7})")


class AdapterError(ValueError):
    """One clause about adapters that cannot be used."""


@dataclass(frozen=True)
class Adapter:
    """One entry of LORAS; place: a path or a hub id, as given."""

    name: str
    place: str
    weight: float = 1.0


def parse(text: str) -> tuple[Adapter, ...]:
    """The adapters of LORAS's text, none for 'none'; raises AdapterError."""
    if text.strip().lower() == "none":
        return ()
    # A comma may be part of a path: only one before the next name separates.
    entries = re.split(rf",(?=\s*{NAME}=)", text)
    found = tuple(_entry(entry.strip()) for entry in entries)
    if len(found) > MOST_ADAPTERS:
        raise AdapterError(f"there are {len(found)}, and {MOST_ADAPTERS} is the most")
    names = [adapter.name for adapter in found]
    for name in names:
        if names.count(name) > 1:
            raise AdapterError(f"{name} is named twice")
    return found


def _entry(text: str) -> Adapter:
    name, equals, place = text.partition("=")
    name = name.strip()
    if not equals or not re.fullmatch(NAME, name):
        raise AdapterError(
            f"{text[:60]!r} does not begin with a name of at most 32 letters, digits, _ and -, "
            "and ="
        )
    rest, at, last = place.strip().rpartition("@")
    weight = 1.0
    if at and _NUMBER.fullmatch(last):
        place, weight = rest, float(last)
    if not 0 <= weight <= MOST_WEIGHT:
        raise AdapterError(f"the weight of {name} is {last}, and weights are 0 to {MOST_WEIGHT:g}")
    if not place.strip():
        raise AdapterError(f"{name} has neither a path nor a hub id")
    return Adapter(name, place.strip(), rounded(weight))


def rounded(weight: float) -> float:
    """The weight as shots have it."""
    return round(weight, DIGITS)


def check_adapters(data: object) -> dict[str, float]:
    """Name -> weight from the web's form; raises AdapterError with one sentence."""
    if not isinstance(data, Mapping) or len(data) > MOST_ADAPTERS:
        raise AdapterError(f'Send adapters as names and weights, such as {{"ink": 0.8}}, at most '
                           f"{MOST_ADAPTERS}.")  # fmt: skip
    return {_checked_name(name): _checked_weight(name, value) for name, value in data.items()}


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        raise AdapterError("The name of an adapter must be at most 32 letters, digits, _ and -.")
    return name


def _checked_weight(name: object, value: Any) -> float:
    if not is_number(value) or not 0 <= value <= MOST_WEIGHT:
        raise AdapterError(
            f"The weight of the adapter {name} must be a number from 0 to {MOST_WEIGHT:g}."
        )
    return rounded(float(value))


def merged(start: Adapters, changes: Mapping[str, float]) -> Adapters:
    """`start` with other weights; new names come last, in the order given."""
    return tuple({**dict(start), **changes}.items())


def between(start: Adapters, target: Adapters, position: float) -> Adapters:
    """The weights at `position`, 0 to 1, of a fade; a name that one side lacks has weight 0
    there. In the order of `target`."""
    before, after = dict(start), dict(target)
    names = [*after, *(name for name in before if name not in after)]
    return tuple(
        (name, before.get(name, 0.0) + (after.get(name, 0.0) - before.get(name, 0.0)) * position)
        for name in names
    )


def of_shot(adapters: Adapters) -> Adapters:
    """The adapters as a shot has them: rounded, and without those of weight 0."""
    short = ((name, rounded(weight)) for name, weight in adapters)
    return tuple((name, weight) for name, weight in short if weight)


class SteppedAdapters:
    """The adapters of successive frames, which change at most STEPS_PER_S times a second: at once
    after a rest, else when it is time. Not thread-safe."""

    def __init__(self) -> None:
        self._last: Adapters = ()
        self._changed_at = -math.inf

    def at(self, time: float, wanted: Adapters) -> Adapters:
        """Those of the next frame. time: seconds, on a clock that may be set."""
        if wanted != self._last and not 0 <= time - self._changed_at < 1 / STEPS_PER_S:
            self._last, self._changed_at = wanted, time
        return self._last


def with_loaded(shot: Shot, loaded: Adapters) -> Shot:
    """The shot without adapters that are not loaded, such as those of a look from elsewhere."""
    if not shot.adapters:
        return shot
    names = dict(loaded)
    kept = tuple((name, weight) for name, weight in shot.adapters if name in names)
    return shot if kept == shot.adapters else replace(shot, adapters=kept)
