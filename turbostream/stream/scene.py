"""What a channel shows and how it moves.

Pure data and pure functions, any thread: no clock, no torch. `scene.shot_at(time, number)` is all
of the motion; the caller owns the clock.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from turbostream.stream.shot import MAX_SEED, MAX_SIDE, Shot, great_circle

MAX_PROMPT_CHARACTERS = 1000
MOTIONS = ("walk", "hold", "fresh")
MAX_SPEED = 4.0
MAX_PHASE = 1e12  # quarter turns; beyond it a float no longer tells two frames apart
JSON_VERSION = 1


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


@dataclass(frozen=True)
class Scene:
    """What is shown and how it moves.

    motion: `fresh` takes new noise for every frame, as the original guide does; `hold` keeps the
    noise; `walk` follows great circles from the noise of one seed to that of the next, at `speed`.
    phase: the position of the walk at `anchored_at`, in quarter turns since the seed.
    anchored_at: seconds on the caller's clock.
    width, height: in pixels; None: the model's own.
    """

    prompt: str
    motion: str = "walk"
    speed: float = 0.15  # quarter turns per second; each ends on the noise of the next seed
    seed: int = 0
    width: int | None = None
    height: int | None = None
    phase: float = 0.0
    anchored_at: float = 0.0

    def phase_at(self, time: float) -> float:
        """Quarter turns since the seed, at `time` in seconds."""
        if self.motion != "walk":
            return self.phase
        return self.phase + self.speed * max(0.0, time - self.anchored_at)

    def shot_at(self, time: float, number: int) -> Shot:
        """The recipe of frame `number` at `time` in seconds. Pure."""
        if self.motion == "fresh":
            turns, angle = number, 0.0
        else:
            phase = self.phase_at(time)
            turns = math.floor(phase)
            angle = (phase - turns) * math.pi / 2
        first = (self.seed + turns) % (MAX_SEED + 1)
        second = (first + 1) % (MAX_SEED + 1)
        return Shot(
            ((self.prompt, 1.0),),
            great_circle(first, second, angle),
            width=self.width,
            height=self.height,
        )

    def changed(self, time: float, changes: dict[str, Any]) -> Scene:
        """The scene with `changes`, anchored at `time` so that the walk does not jump.

        Accepts prompt, motion, speed and seed; raises SceneError with one sentence otherwise.
        With a seed in `changes` the walk starts at that seed.
        """
        checked = {name: _check(name, value) for name, value in changes.items()}
        phase = 0.0 if "seed" in checked else self.phase_at(time)
        return replace(self, phase=phase, anchored_at=time, **checked)

    def as_dict(self) -> dict[str, Any]:
        """What the web shows and can patch."""
        return {name: getattr(self, name) for name in PATCHABLE}

    def as_json(self, time: float) -> dict[str, Any]:
        """The whole scene at `time`, for another process; `from_json` reads it.

        It contains no value of this process's clock: the phase is the position of the walk.
        """
        size = {name: getattr(self, name) for name in SIZE if getattr(self, name) is not None}
        phase = min(self.phase_at(time), MAX_PHASE)
        return {"version": JSON_VERSION, **self.as_dict(), "phase": phase, **size}

    @classmethod
    def from_json(cls, data: object, time: float) -> Scene:
        """The scene of `as_json`, which continues from its phase at `time` in seconds.

        Missing fields have their defaults; the prompt is required. Raises SceneError with one
        sentence for what no version of the program up to this one writes.
        """
        if not isinstance(data, Mapping):
            raise SceneError("The scene is not a JSON object.")
        fields = dict(data)
        version = fields.pop("version", JSON_VERSION)
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise SceneError("The version of the scene must be a whole number from 1.")
        if version > JSON_VERSION:
            raise SceneError(
                f"The scene was written by a newer version of this program (format {version}; "
                f"this one reads up to {JSON_VERSION})."
            )
        if "prompt" not in fields:
            raise SceneError("The scene has no prompt.")
        checks: dict[str, Callable[[str, object], Any]] = {
            "phase": _check_phase,
            "width": _check_side,
            "height": _check_side,
        }
        checked: dict[str, Any] = {
            name: checks.get(name, _check)(name, value) for name, value in fields.items()
        }
        return cls(**checked, anchored_at=time)


PATCHABLE = ("prompt", "motion", "speed", "seed")
SIZE = ("width", "height")


def _check(name: str, value: object) -> Any:
    if name == "prompt":
        return check_prompt(value)
    if name == "motion":
        if value not in MOTIONS:
            raise SceneError(f"The motion must be one of {', '.join(MOTIONS)}.")
        return value
    if name not in PATCHABLE:
        raise SceneError(f"A scene has no {name[:40]!r}; it has {', '.join(PATCHABLE)}.")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SceneError(f"The {name} must be a number.")
    if name == "speed":
        if not 0 <= value <= MAX_SPEED:
            raise SceneError(f"The speed must be a number from 0 to {MAX_SPEED:g}.")
        return float(value)
    if not isinstance(value, int) or not 0 <= value <= MAX_SEED:
        raise SceneError(f"The seed must be a whole number from 0 to {MAX_SEED}.")
    return value


def _check_phase(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_PHASE:
        raise SceneError(f"The {name} must be a number from 0 to {MAX_PHASE:g}.")
    return float(value)


def _check_side(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MAX_SIDE:
        raise SceneError(f"The {name} must be a whole number from 1 to {MAX_SIDE}.")
    return value
