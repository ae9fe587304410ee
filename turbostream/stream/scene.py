"""What a channel shows and how it moves, and one frame's complete recipe.

Pure data and pure functions: no clock, no thread, no torch. `scene.shot_at(time, number)` is the
whole of the motion; whoever calls it owns the clock.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

MAX_PROMPT_CHARACTERS = 1000
MOTIONS = ("walk", "hold", "fresh")
MAX_SPEED = 4.0
MAX_SEED = 2**63 - 1
MAX_PHASE = 1e12  # quarter turns; beyond it a float no longer tells two frames apart
MAX_SIDE = 16_384  # pixels
JSON_VERSION = 1


class SceneError(ValueError):
    """One sentence about a scene that cannot be; the scene in force stays as it is."""


def check_prompt(prompt: object) -> str:
    """The prompt, stripped; raises SceneError if it is not 1 to 1,000 printable characters.

    Line breaks and tabs become blanks (a form's text may hold them); other control characters
    and lone surrogates are refused, since they cannot be meant as words.
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
class Shot:
    """One frame's complete recipe, as plain data.

    The noise is cos(angle) * n(seed_from) + sin(angle) * n(seed_to): it keeps unit variance, and
    at angle 0 it is `seed_from` alone. The same shot under the same engine fingerprint is the
    same picture, byte for byte.
    """

    prompt: str
    seed_from: int
    seed_to: int
    angle: float  # radians, 0 to pi/2
    width: int | None = None  # pixels; None: the model's own
    height: int | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Scene:
    """What is shown and how it moves.

    motion: `fresh` takes new noise for every frame (the original guide's way), `hold` keeps one
    noise, `walk` goes along great circles from one noise to the next at `speed` quarter turns a
    second. `phase` is where the walk stood, in quarter turns, at `anchored_at` (seconds on the
    producer's clock).
    """

    prompt: str
    motion: str = "walk"
    speed: float = 0.15  # quarter turns a second; each quarter turn ends on wholly new noise
    seed: int = 0
    width: int | None = None
    height: int | None = None
    phase: float = 0.0
    anchored_at: float = 0.0

    def phase_at(self, time: float) -> float:
        """Quarter turns walked since the seed, at `time` in seconds."""
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
        return Shot(self.prompt, first, second, angle, self.width, self.height)

    def changed(self, time: float, changes: dict[str, Any]) -> Scene:
        """The scene with `changes`, anchored at `time` so that what goes on does not jump.

        Accepts prompt, motion, speed and seed; raises SceneError with one sentence otherwise.
        A new seed starts its walk from the beginning.
        """
        checked = {name: _check(name, value) for name, value in changes.items()}
        phase = 0.0 if "seed" in checked else self.phase_at(time)
        return replace(self, phase=phase, anchored_at=time, **checked)

    def as_dict(self) -> dict[str, Any]:
        """What the web shows and may patch."""
        return {name: getattr(self, name) for name in PATCHABLE}

    def as_json(self, time: float) -> dict[str, Any]:
        """The whole scene as it is at `time`, for another process; `from_json` reads it.

        It holds no value of this process's clock: the phase says how far the walk has come.
        """
        size = {name: getattr(self, name) for name in SIZE if getattr(self, name) is not None}
        phase = min(self.phase_at(time), MAX_PHASE)
        return {"version": JSON_VERSION, **self.as_dict(), "phase": phase, **size}

    @classmethod
    def from_json(cls, data: object, time: float) -> Scene:
        """The scene of `as_json`, which goes on from its phase at `time` in seconds.

        What is missing has its default, save for the prompt. Raises SceneError with one sentence
        for anything else that no version up to this one writes.
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
