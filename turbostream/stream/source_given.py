"""What may serve as the source of a channel's next frame. Pure data, any thread."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Given:
    """picture: the SHA-256 of the newest input picture, see `InputPicture`; None: there is none.

    frame: the number of the newest frame that was published, and when its shot was taken, in
    seconds on the channel's clock; None: there is none. channel: whose frame that is, see
    `EarlierFrame`.
    """

    picture: str | None = None
    frame: tuple[int, float] | None = None
    channel: str | None = None


NOTHING = Given()
ANYTHING = Given("0" * 64, (1, 0.0))  # for checks: whether an engine takes a source of this kind
