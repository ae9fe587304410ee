"""Paints the thumbnails of looks, between the frames of the stream.

Any thread except gevent's: it waits for the picture. Knows no HTTP.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import replace

from turbostream.stream import thumbnail
from turbostream.stream.channel import Channel
from turbostream.stream.collection import Collection, NotServing
from turbostream.stream.engine_api import Picture
from turbostream.stream.looks import Look
from turbostream.stream.looks_file import NotKept
from turbostream.stream.scene import Scene
from turbostream.stream.scene_checks import SceneError
from turbostream.stream.shot import Shot
from turbostream.stream.side_jobs import TooManyJobs

log = logging.getLogger(__name__)

PAINT_S = 5.0

Paint = Callable[[Shot], "Future[Picture]"]


class LookPictures:
    """paint: paints a shot between frames, any thread."""

    def __init__(self, channel: Channel, collection: Collection, paint: Paint) -> None:
        self._channel, self._collection, self._paint = channel, collection, paint
        self._incomplete: dict[str, Look] = {}  # by name
        self._completing = threading.Lock()

    def thumbnail(self, scene: Scene) -> bytes | None:
        """The thumbnail (JPEG) of a look's scene, painted at the size of the stream and from the
        source that its scene has there now; None if it could not be painted within PAINT_S."""
        channel, size = self._channel, self._channel.scene
        sized = replace(scene, width=size.width, height=size.height)
        future = None
        try:
            given = (channel.last_number, channel.usable, channel.own_guidance)
            future = self._paint(channel.taken(sized.shot_at(scene.anchored_at, *given)))
            error = future.exception(PAINT_S)
        except (TooManyJobs, TimeoutError, CancelledError) as late:
            error = late
        if error is not None:
            log.info("[looks] a thumbnail was not painted: %s", error or "it took too long")
            if future is not None:
                future.cancel()
            return None
        assert future is not None
        return thumbnail.of_picture(future.result().jpeg)

    def complete(self, look: Look) -> None:
        """Add the thumbnail of a look that could not be painted when the look was saved.

        Only one call paints at a time, and does the work of the calls made meanwhile, which return
        at once: recalling many looks in a row does not delay saving one.
        """
        self._incomplete[look.name] = look
        while self._incomplete and self._completing.acquire(blocking=False):
            try:
                while self._incomplete:
                    self._complete(self._incomplete.popitem()[1])
            finally:
                self._completing.release()

    def _complete(self, look: Look) -> None:
        if look.thumbnail is not None or look not in self._collection.looks.all:
            return
        painted = self.thumbnail(look.scene)
        if painted is None:
            return
        try:
            self._collection.set_thumbnail(look, painted)
        except (NotKept, NotServing, SceneError) as error:
            log.info("[looks] the thumbnail of %r was not kept: %s", look.name, error)
