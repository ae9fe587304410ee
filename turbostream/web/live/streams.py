"""All live streams of this server: what the routes need of this room, in one object.

The gevent thread only.
"""

from __future__ import annotations

from collections.abc import Callable

from turbostream.stream.channel import Channel
from turbostream.stream.state import Status
from turbostream.web.live.sender import Sender
from turbostream.web.live.stream_body import StreamBody
from turbostream.web.live.viewer_socket import Counts
from turbostream.web.live.viewers import Viewer, Viewers
from turbostream.web.live.wakeup import Wakeup


class LiveStreams:
    """Opens streams and keeps the registry of their viewers.

    `status` is what a placeholder shows, `stopping` ends all streams, `clock` stands still while
    this process is stopped.
    """

    def __init__(
        self,
        wakeup: Wakeup,
        max_viewers: int,
        dead_viewer_s: float,
        status: Callable[[], Status],
        stopping: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self.wakeup = wakeup
        self.viewers = Viewers(max_viewers)
        self._sender = Sender(wakeup, dead_viewer_s, clock)
        self._status, self._stopping, self._clock = status, stopping, clock

    @property
    def counts(self) -> Counts:
        return self._sender.counts

    def open(
        self,
        channel: Channel,
        acknowledges: bool,
        min_interval_s: float,
        repeat_after_s: float,
        with_recipe: bool = False,
    ) -> StreamBody:
        """A stream of `channel`, which begins when its body is read.

        acknowledges: the viewer says what it has shown. with_recipe: each picture carries its
        recipe.
        """
        viewer = Viewer(
            channel,
            self._status,
            self.wakeup,
            self._stopping,
            acknowledges,
            with_recipe,
            self._clock,
        )
        return StreamBody(viewer, self.viewers, self._sender, min_interval_s, repeat_after_s)
