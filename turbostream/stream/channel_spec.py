"""What a channel is made from: the body of `PUT /channels/NAME`, and its form in STATE_DIR.

Pure data, any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from turbostream.stream.channel_names import ChannelError, check_name
from turbostream.stream.follows import Follows, follows_of
from turbostream.stream.shot import is_number

FIELDS = ("target_fps", "width", "height", "follows", "source")
FPS = (0.1, 1000.0)
SIDES = (64, 2048, 8)  # least, most, multiple of


@dataclass(frozen=True)
class ChannelSpec:
    """target_fps: frames a second. width, height: in pixels; None: the model's own, or that of the
    channel that it follows. source: the channel whose frames are its input pictures."""

    name: str
    target_fps: float
    width: int | None = None
    height: int | None = None
    follows: Follows | None = None
    source: str | None = None

    def as_json(self) -> dict[str, Any]:
        """What `spec_of` reads, without the name."""
        if self.follows is None:
            found = {"target_fps": self.target_fps, "width": self.width, "height": self.height}
            return found if self.source is None else {**found, "source": self.source}
        kept = {} if self.follows.crop else {"target_fps": self.target_fps}
        return {**kept, "follows": self.follows.as_json()}


def spec_of(
    name: str, body: Mapping[str, Any], like: Callable[[str | None], ChannelSpec]
) -> ChannelSpec:
    """The channel that `body` describes. Raises ChannelError with one sentence.

    like: gives a channel by its name, or the default one for None; raises UnknownChannel. What
    `body` leaves out is as in the channel that it follows, or else in the default one.
    """
    check_name(name)
    for field in body:
        if field not in FIELDS:
            known = ", ".join(FIELDS)
            raise ChannelError(f"A channel has no {str(field)[:40]!r}; known: {known}.")
    follows = None if body.get("follows") is None else follows_of(body["follows"])
    model = like(None if follows is None else follows.channel)
    if follows is not None:
        for field in ("width", "height", *(("target_fps",) if follows.crop else ())):
            if body.get(field) is not None:
                raise ChannelError(f"The {field} is that of the channel that it follows.")
    fps = body.get("target_fps", model.target_fps)
    if not (is_number(fps) and FPS[0] <= fps <= FPS[1]):
        raise ChannelError(f"The target_fps is a number from {FPS[0]:g} to {FPS[1]:g}.")
    width, height = (_side(side, body.get(side, getattr(model, side))) for side in FIELDS[1:3])
    source = body.get("source")
    if source is not None:
        if follows is not None:
            raise ChannelError("A channel that follows has no source; leave one of the two out.")
        if not isinstance(source, str) or source == name:
            raise ChannelError("The source of a channel is the name of another channel.")
        like(source)
    return ChannelSpec(name, float(fps), width, height, follows, source)


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
