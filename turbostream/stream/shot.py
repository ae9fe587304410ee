"""One frame's complete recipe as plain data, and what makes it valid.

A scene makes a shot for a moment, an engine paints it, a frame carries it and a batch records it.
Pure data, any thread: no clock, no pixels, no engine. `shot_json.py` is its form in files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

MAX_SEED = 2**63 - 1
MAX_SIDE = 16_384  # pixels
MAX_STEPS = 1000  # the timesteps that diffusion models are trained with
MAX_GUIDANCE = 20.0
ENLARGING = ("pixels", "noise")
TRANSFORMS = {  # the ranges of what is done to an earlier frame
    "zoom": (0.1, 10.0),
    "rotation": (-360.0, 360.0),
    "shift_x": (-1.0, 1.0),
    "shift_y": (-1.0, 1.0),
}
ROUNDING = 1e-9  # how far a sum of weights may be from 1

_WHOLE = (
    ("steps", MAX_STEPS),
    *((side, MAX_SIDE) for side in ("width", "height", "base_width", "base_height")),
)

Prompts = tuple[tuple[str, float], ...]  # (text, weight)
Noise = tuple[tuple[int, float], ...]  # (seed, weight)
Adapters = tuple[tuple[str, float], ...]  # (name, weight)


class ShotError(ValueError):
    """One sentence about a shot that is invalid, or that an engine cannot paint."""


@dataclass(frozen=True)
class InputPicture:
    """A source that the program was given. It has the size of the stage, since it was fitted to it.

    sha256: 64 hexadecimal digits, the digest of f"{width}x{height}\\n" and the raw RGB bytes.
    """

    sha256: str

    def __post_init__(self) -> None:
        if not isinstance(self.sha256, str) or not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ShotError("A shot's source must be a SHA-256 of 64 hexadecimal digits.")


@dataclass(frozen=True)
class EarlierFrame:
    """A source that the same channel has shown; number: of that frame. channel: its name, since
    each counts its own frames; None: the default channel's.

    The rest is what is done to it first, about its centre. zoom: a factor; above 1 enlarges.
    rotation: degrees clockwise. shift_x, shift_y: to the right and down, in widths and heights of
    the picture.
    """

    number: int
    zoom: float = 1.0
    rotation: float = 0.0
    shift_x: float = 0.0
    shift_y: float = 0.0
    channel: str | None = None

    def __post_init__(self) -> None:
        if not (self.channel is None or isinstance(self.channel, str)):
            raise ShotError("The channel of a shot's source must be text.")
        _check_whole("source frame", self.number, 1, MAX_SEED)
        for name, (least, most) in TRANSFORMS.items():
            value = getattr(self, name)
            if not (is_number(value) and least <= value <= most):
                raise ShotError(
                    f"The {name} of a shot's source must be a number from {least:g} to {most:g}."
                )


Source = InputPicture | EarlierFrame


@dataclass(frozen=True)
class Shot:
    """One frame's complete recipe: the same shot under the same engine fingerprint is the same
    picture, byte for byte.

    prompts: texts and their weights, which are positive and add up to 1.
    noise: seeds and their weights, whose squares add up to 1. The noise is the sum of
        weight * n(seed) in this order, where n(seed) is Gaussian noise of unit variance; the sum
        then has unit variance as well, which one-step models need and a plain average has not.
    source: the picture to start from; None: noise alone.
    strength: how much noise replaces of the source, above 0 and at most 1; None without a source.
    steps: denoising steps; None: the model's own number.
    adapters: names and weights of the adapters (LoRA) in use, in the order they are applied.
    width, height: in pixels; None: the model's own.
    brightness: factor of the finished picture's pixels, 0 to 1: 1 leaves them as they are, 0 is
        black.
    base_width, base_height: in pixels, the size that the noise is drawn for; None: that of the
        picture.
    guidance: the scale of classifier-free guidance, 1 to MAX_GUIDANCE, where 1 is off; a model
        that was distilled with guidance takes the scale as an input. None: the model's own.
    negative: texts that guidance leads away from, and their weights, as for `prompts`; (): the
        empty text. Only with a guidance above 1.
    enlarging: how the picture of the base size comes to `width` and `height` (larger or smaller);
        None without a base size. `pixels`: the model paints at the base size, and the picture is
        resampled; everything keeps its place. `noise`: the model paints at the new size, from
        noise with the same coarse structure; there is more detail, but a model far from its own
        size may paint something else.

    Each default means "none" or "the model's own" and stays out of the JSON form, so that a shot
    of today is equal to itself after `Shot` has gained a field.

    Raises ShotError for values outside these limits. Whether an engine can paint the shot is
    another question, which its `Capabilities` answer.
    """

    prompts: Prompts
    noise: Noise
    source: Source | None = None
    strength: float | None = None
    steps: int | None = None
    adapters: Adapters = ()
    width: int | None = None
    height: int | None = None
    brightness: float = 1.0
    base_width: int | None = None
    base_height: int | None = None
    enlarging: str | None = None
    guidance: float | None = None
    negative: Prompts = ()

    def __post_init__(self) -> None:
        """A few microseconds, since it is done for every frame."""
        _check_words("prompts", self.prompts)
        _check_mix("noise", self.noise, int)
        for seed, _ in self.noise:
            _check_whole("seed", seed, 0, MAX_SEED)
        _check_sum("squared weights of a shot's noise", (w * w for _, w in self.noise))
        if self.adapters != ():
            _check_mix("adapters", self.adapters, str)
        if self.guidance is not None or self.negative != ():
            _check_guidance(self.guidance, self.negative)
        for name, most in _WHOLE:
            if (value := getattr(self, name)) is not None:
                _check_whole(name, value, 1, most)
        if not (self.source is None or isinstance(self.source, InputPicture | EarlierFrame)):
            raise ShotError("A shot's source must be an input picture or an earlier frame.")
        if (self.source is None) != (self.strength is None):
            raise ShotError("A shot needs a strength with a source, and has none without one.")
        if self.strength is not None and not (is_number(self.strength) and 0 < self.strength <= 1):
            raise ShotError("A shot's strength must be a number above 0 and at most 1.")
        if not (is_number(self.brightness) and 0 <= self.brightness <= 1):
            raise ShotError("A shot's brightness must be a number from 0 to 1.")
        if (
            len({value is None for value in (self.base_width, self.base_height, self.enlarging)})
            > 1
        ):
            raise ShotError("A shot needs base_width, base_height and enlarging, or none of them.")
        if not (self.enlarging is None or self.enlarging in ENLARGING):
            raise ShotError(f"A shot's enlarging must be one of {', '.join(ENLARGING)}.")

    @classmethod
    def single(
        cls, prompt: str, seed: int, width: int | None = None, height: int | None = None
    ) -> Shot:
        """The shot of one prompt and one seed."""
        return cls(((prompt, 1.0),), ((seed, 1.0),), width=width, height=height)

    @property
    def prompt(self) -> str:
        """The prompt of the greatest weight, for messages; the picture depends on all of them."""
        return max(self.prompts, key=lambda pair: pair[1])[0]


class TakenShot(NamedTuple):
    """The recipe of a channel's frame `number`, at a time in seconds on the channel's clock."""

    number: int
    shot: Shot
    taken: float


def great_circle(first: int, second: int, angle: float) -> Noise:
    """The noise at `angle` on the great circle from seed `first` to seed `second`.

    angle: radians, 0 to pi/2. cos² + sin² = 1 keeps the variance at one; at angle 0 it is `first`
    alone.
    """
    if angle == 0:
        return ((first, 1.0),)
    return ((first, math.cos(angle)), (second, math.sin(angle)))


def _check_mix(name: str, mix: object, kind: type) -> None:
    """A tuple of (value, weight): at least one, no value twice, no weight 0 (it has no effect, and
    two shots of the same picture would differ)."""
    if not isinstance(mix, tuple) or not mix:
        raise ShotError(f"A shot's {name} must be pairs of a value and a weight.")
    for pair in mix:
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], kind)):
            raise ShotError(f"A shot's {name} must be pairs of a value and a weight.")
        if not is_number(pair[1]) or pair[1] == 0:
            raise ShotError(f"A weight of a shot's {name} must be a finite number other than 0.")
    if len(mix) > 1 and len({value for value, _ in mix}) < len(mix):
        raise ShotError(f"A shot's {name} must not name the same value twice.")


def _check_words(name: str, mix: Prompts) -> None:
    _check_mix(name, mix, str)
    if any(weight < 0 for _, weight in mix):
        raise ShotError(f"The weights of a shot's {name} must be positive.")
    _check_sum(f"weights of a shot's {name}", (weight for _, weight in mix))


def _check_guidance(guidance: float | None, negative: Prompts) -> None:
    if guidance is not None and not (is_number(guidance) and 1 <= guidance <= MAX_GUIDANCE):
        raise ShotError(f"A shot's guidance must be a number from 1 to {MAX_GUIDANCE:g}.")
    if negative != ():
        _check_words("negative prompts", negative)
        if guidance is None or guidance <= 1:
            raise ShotError("A shot has negative prompts only with a guidance above 1.")


def _check_sum(name: str, terms: Iterable[float]) -> None:
    if not abs(sum(terms) - 1) <= ROUNDING:
        raise ShotError(f"The {name} must add up to 1.")


def _check_whole(name: str, value: object, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ShotError(f"A shot's {name} must be a whole number from {least} to {most}.")


def is_number(value: object) -> bool:
    """True for a finite number that a float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
