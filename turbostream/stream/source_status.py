"""What the web and the controllers need of the input pictures, and nothing of how they are made.

Declarations only, any thread; `sources/` has the implementation.
"""

from __future__ import annotations

from typing import Any, Protocol, TypedDict

from turbostream.settings import Settings
from turbostream.stream.channel import Channel
from turbostream.stream.scene_checks import SceneError


class SourceError(SceneError):
    """One sentence on why a picture cannot be a source. status: of the HTTP response: 400, 413,
    415 or 503."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


# `from` is a keyword of Python, so that the class syntax cannot declare it.
SourceStatus = TypedDict(
    "SourceStatus",
    {
        "kind": str,  # none, picture or feedback
        "from": str,  # browser, request, channel NAME, or SOURCE as it may be shown; empty: nowhere
        "size": list[int] | None,  # [width, height] of the original, pixels
        "age_s": float | None,  # since the newest picture arrived, seconds
        "received": int,  # pictures since the start, as the three below
        "used": int,
        "dropped": int,  # a newer one came before it was decoded
        "refused": int,
        "message": str,  # one sentence on the last refusal; empty: the newest picture was taken
    },
)


class Sources(Protocol):
    """The input pictures of one channel."""

    def offer(self, data: bytes, origin: str, sender: object = None) -> None:
        """Take the bytes of a picture's file; the newest wins. Returns at once: it is decoded on
        another thread, and what is wrong with it is counted and becomes the message of `status`.

        origin: see `SourceStatus`. sender: any object that stands for the connection it came by;
        None: the picture does not depend on one.
        """
        ...

    def leave(self, sender: object) -> None:
        """This sender has gone. If its picture is still the newest after a short time, it is
        forgotten."""
        ...

    def put(self, data: bytes, fit: str, mirror: bool, timeout_s: float) -> str:
        """Decode the bytes of a picture's file now, give it to the channel, and return its SHA-256.

        fit: cover or contain. timeout_s: seconds. Raises SourceError.
        """
        ...

    def clear(self) -> None:
        """Forget the input picture."""
        ...

    def picture(self) -> bytes | None:
        """The input picture as it is painted from, as a JPEG; None if there is none."""
        ...

    def find(self, sha256: str) -> Any:
        """One of the input pictures used last, as it is painted from, by its digest: uint8 RGB
        [H, W, 3], not to be changed; None if it is not, or no longer, there."""
        ...

    def status(self) -> SourceStatus: ...
    def start(self) -> None: ...
    def stop(self, timeout_s: float) -> None: ...


class OpenedSources(Sources, Protocol):
    """Those of the default channel."""

    def add_frames(self, channel: Channel) -> None:
        """The frames of this channel may be sources, until `remove_frames`."""
        ...

    def remove_frames(self, channel: Channel) -> None: ...

    def open_beside(self, channel: Channel, settings: Settings) -> Sources:
        """Those of a further channel, until they are stopped."""
        ...
