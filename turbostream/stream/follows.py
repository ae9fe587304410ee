"""How one channel follows another: with other noise, or with a part of its picture.

Pure data, any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from turbostream.stream.channel_names import ChannelError
from turbostream.stream.shot import MAX_SEED, is_number

MOST_PHASE = 1000.0
HOW = ("seed", "phase", "crop")
EXAMPLE = '{"channel": "main", "seed": 1}, "phase": 0.5 or "crop": [x, y, width, height] instead'

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Follows:
    """channel: whom. Exactly one of the rest is given.

    seed: added to that of the leader. phase: seeds ahead of the leader. crop: left, top, width and
    height, in parts (0 to 1) of the leader's picture.
    """

    channel: str
    seed: int | None = None
    phase: float | None = None
    crop: Box | None = None

    def as_json(self) -> dict[str, Any]:
        """What `follows_of` reads."""
        found = {"channel": self.channel}
        given = ((how, getattr(self, how)) for how in HOW)
        return found | {
            how: list(value) if isinstance(value, tuple) else value
            for how, value in given
            if value is not None
        }

    def pixels(self, width: int, height: int) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of `crop` in a picture of this size; at least one pixel.
        Crops that touch share an edge."""
        assert self.crop is not None
        x, y, across, down = self.crop
        left, top = min(round(x * width), width - 1), min(round(y * height), height - 1)
        right, bottom = round((x + across) * width), round((y + down) * height)
        return left, top, min(max(right, left + 1), width), min(max(bottom, top + 1), height)


def follows_of(value: object) -> Follows:
    """From JSON; raises ChannelError with one sentence."""
    if not isinstance(value, Mapping) or not isinstance(value.get("channel"), str):
        raise ChannelError(f"What a channel follows is an object such as {EXAMPLE}.")
    unknown = sorted(str(field) for field in value if field not in ("channel", *HOW))
    if unknown:
        raise ChannelError(f"A channel that follows has no {unknown[0][:40]!r}; send {EXAMPLE}.")
    given = [how for how in HOW if value.get(how) is not None]
    if len(given) != 1:
        raise ChannelError(f"A channel follows with one of {', '.join(HOW)}; send {EXAMPLE}.")
    channel, how = value["channel"], value[given[0]]
    match given[0]:
        case "seed":
            return Follows(channel, seed=_seed(how))
        case "phase":
            return Follows(channel, phase=_phase(how))
    return Follows(channel, crop=_crop(how))


def _seed(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_SEED:
        raise ChannelError(f"The seed of follows is a whole number from 0 to {MAX_SEED}.")
    return value


def _phase(value: Any) -> float:
    if not (is_number(value) and 0 <= value <= MOST_PHASE):
        raise ChannelError(f"The phase of follows is a number from 0 to {MOST_PHASE:g}.")
    return float(value)


def _crop(value: Any) -> Box:
    if isinstance(value, list) and len(value) == 4 and all(is_number(one) for one in value):
        x, y, across, down = (float(one) for one in value)
        inside = x + across <= 1 + 1e-9 and y + down <= 1 + 1e-9
        if min(x, y) >= 0 and min(across, down) > 0 and inside:
            return x, y, across, down
    raise ChannelError(
        "The crop of follows is [x, y, width, height] in parts of the picture, inside it, such as "
        "[0.5, 0, 0.5, 0.5] for its upper right quarter."
    )
