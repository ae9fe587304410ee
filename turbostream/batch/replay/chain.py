"""Which frames of a session can be painted again, and where the chain of each one begins.

A frame that starts from an earlier one needs that one's picture, which may need another's. Pure.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from turbostream.sinks.session_lines import FrameAt, PictureAt, Shown
from turbostream.sinks.source_file import Place
from turbostream.stream.shot import EarlierFrame, InputPicture

REACH = 64  # frames: how far back a source may be; the program names one of the newest 16
MOST_PICTURES = 1_000_000  # of which the places are kept


@dataclass(frozen=True)
class Link:
    """One frame. start: the number of the frame that its chain begins with, its own if it starts
    from no frame of the session. at: seconds, on the session's clock. lack: one sentence on why it
    cannot be painted again, or empty."""

    start: int
    at: float
    lack: str = ""


class Chains:
    """Is told everything in the order of the session.

    pictures: where the input pictures are, by digest.
    """

    def __init__(self) -> None:
        self.pictures: dict[str, Place] = {}
        self._links: OrderedDict[int, Link] = OrderedDict()
        self._shown: OrderedDict[int, None] = OrderedDict()

    def picture(self, one: PictureAt) -> None:
        if len(self.pictures) < MOST_PICTURES:
            self.pictures[one.sha256] = one.place

    def shown(self, one: Shown) -> None:
        self._shown[one.number] = None
        if len(self._shown) > REACH:
            self._shown.popitem(last=False)

    def frame(self, frame: FrameAt) -> Link:
        link = self._link(frame)
        self._links[frame.number] = link
        if len(self._links) > REACH:
            self._links.popitem(last=False)
        return link

    def age_s(self, frame: FrameAt) -> float:
        """How old the frame of the session is that `frame` starts from; 0 if there is none."""
        source = frame.shot.source
        link = self._links.get(source.number) if isinstance(source, EarlierFrame) else None
        return 0.0 if link is None else frame.at - link.at

    def _link(self, frame: FrameAt) -> Link:
        source, lack = frame.shot.source, ""
        if isinstance(source, InputPicture) and source.sha256 not in self.pictures:
            lack = (
                f"Frame {frame.number} of the session starts from an input picture, which is not "
                "stored with it; record with KEEP_SOURCES=yes to replay such frames."
            )
        if isinstance(source, EarlierFrame):
            earlier = self._links.get(source.number)
            if earlier is not None:
                return Link(earlier.start, frame.at, earlier.lack)
            if source.number not in self._shown:
                lack = (
                    f"Frame {frame.number} of the session starts from frame {source.number}, which "
                    "the session does not have; choose a range of time without its chain."
                )
        return Link(frame.number, frame.at, lack)
