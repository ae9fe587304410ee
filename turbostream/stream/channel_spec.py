"""What a channel is made from: the body of `PUT /channels/NAME`, and its form in STATE_DIR.

Pure data, any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from turbostream.stream.channel_names import ChannelError, check_name
from turbostream.stream.shot import is_number

FIELDS = ("target_fps", "width", "height")
FPS = (0.1, 1000.0)
SIDES = (64, 2048, 8)  # least, most, multiple of


@dataclass(frozen=True)
class ChannelSpec:
    """target_fps: frames a second. width, height: in pixels; None: the model's own."""

    name: str
    target_fps: float
    width: int | None = None
    height: int | None = None

    def as_json(self) -> dict[str, Any]:
        """What `spec_of` reads, without the name."""
        return {"target_fps": self.target_fps, "width": self.width, "height": self.height}


def spec_of(name: str, body: Mapping[str, Any], like: ChannelSpec) -> ChannelSpec:
    """The channel that `body` describes; what it leaves out is as in `like`. Raises ChannelError
    with one sentence."""
    for field in body:
        if field not in FIELDS:
            known = ", ".join(FIELDS)
            raise ChannelError(f"A channel has no {str(field)[:40]!r}; known: {known}.")
    fps = body.get("target_fps", like.target_fps)
    if not (is_number(fps) and FPS[0] <= fps <= FPS[1]):
        raise ChannelError(f"The target_fps is a number from {FPS[0]:g} to {FPS[1]:g}.")
    width, height = (_side(side, body.get(side, getattr(like, side))) for side in FIELDS[1:3])
    return ChannelSpec(check_name(name), float(fps), width, height)


def _side(name: str, value: object) -> int | None:
    least, most, multiple = SIDES
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value % multiple:
        value = 0
    if not least <= value <= most:
        raise ChannelError(
            f"The {name} is a multiple of {multiple} from {least} to {most}, or null for the "
            "model's own."
        )
    return value
