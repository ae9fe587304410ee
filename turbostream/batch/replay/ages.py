"""At a steady rate, which painted picture each one starts from: one as old as in the show. Pure."""

from __future__ import annotations

from collections import OrderedDict

from turbostream.batch.replay.chain import REACH
from turbostream.sinks.session_lines import FrameAt
from turbostream.stream.shot import EarlierFrame, InputPicture
from turbostream.stream.source_given import Given


class Ages:
    """Is told the frames of the show in order. period_s: of the replay's pictures. age_s: of the
    sources until the frames tell it.

    With a picture as old as in the show, as much time passes from one step of a chain to the next,
    so a zoom or a trail has the look of the show at any rate.
    """

    def __init__(self, period_s: float, age_s: float) -> None:
        self._period_s = period_s
        self._age_s = age_s
        self._picture: str | None = None
        self._times: OrderedDict[int, float] = OrderedDict()

    def hear(self, frame: FrameAt) -> None:
        self._times[frame.number] = frame.at
        if len(self._times) > REACH:
            self._times.popitem(last=False)
        source = frame.shot.source
        if isinstance(source, InputPicture):
            self._picture = source.sha256
        elif isinstance(source, EarlierFrame) and source.number in self._times:
            self._age_s = frame.at - self._times[source.number]

    def given(self, turn: int, at: float) -> Given:
        """What may serve as a source of picture `turn` + 1, which is shown at `at` seconds."""
        # Never the one before the last REACH, which are kept.
        back = min(REACH, max(1, round(self._age_s / self._period_s)))
        if turn < back:
            return Given(self._picture)
        return Given(self._picture, (turn + 1 - back, at - back * self._period_s))
