"""The last seconds of a channel as a file to send: a video, or an animated WebP.

A ring holds the JPEGs of the last frames rather than their shots. A clip then needs no engine,
which goes on painting for the viewers, and shows exactly what they saw, even if the engine or its
model has been replaced since. At 30 frames/s of 30 KB, 15 s take 14 MB; frames beyond KEPT_FPS,
which a clip does not need, are not kept, and MOST_BYTES bounds pictures of any size.

The generation thread fills the ring; a clip is encoded on a thread of its own with a low priority,
while the thread that asked for it waits.
"""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from PIL import Image

from turbostream.sinks.priority import lower_priority
from turbostream.stream.channel import Channel
from turbostream.stream.frame import Frame
from turbostream.stream.recording import LONGEST_CLIP_S, RecordingConflict

MOST_BYTES = 64 * 2**20
KEPT_FPS = 60.0
UNEVEN = 0.9  # of an interval: frames at the rate itself are all kept although their times vary

# Messengers accept pictures of a few megabytes: ten seconds of the demo model take 1.8 MB.
# libwebp_anim takes four fifths of the time and size of Pillow's writer, which also needs all
# pictures decoded at once. Levels above 2 take more time for the same size.
WEBP_FPS = 15.0
WEBP_SIDE = 512  # pixels
WEBP_OPTIONS = {"quality": "75", "compression_level": "2"}
MILLISECOND = Fraction(1, 1000)


class Kept(NamedTuple):
    """A JPEG; at: seconds on the channel's clock."""

    at: float
    jpeg: bytes


class Clips:
    """Of the last LONGEST_CLIP_S of `channel`. Any thread."""

    def __init__(self, channel: Channel, most_bytes: int = MOST_BYTES) -> None:
        self._lock = threading.Lock()
        self._ring: deque[Kept] = deque()
        self._bytes, self._most_bytes = 0, most_bytes
        channel.buffer.listen(self._take)

    def __call__(self, seconds: float, form: str) -> bytes:
        """The last `seconds` before the newest frame, as far as the ring and one size of pictures
        reach; form: mp4 or webp. Raises RecordingConflict while there is no frame."""
        with self._lock:
            kept = list(self._ring)
        if not kept:
            raise RecordingConflict("No frame has been shown yet; try again while one is shown.")
        since = kept[-1].at - seconds
        shown = _of_one_size([one for one in kept if one.at >= since])
        encode = _mp4 if form == "mp4" else _webp
        with ThreadPoolExecutor(1, "clip", initializer=lower_priority) as thread:
            return thread.submit(encode, shown).result()

    def _take(self, frame: Frame) -> None:
        ring = self._ring
        if ring and frame.taken - ring[-1].at < UNEVEN / KEPT_FPS:
            return
        oldest = frame.taken - LONGEST_CLIP_S
        with self._lock:
            ring.append(Kept(frame.taken, frame.jpeg))
            self._bytes += len(frame.jpeg)
            while len(ring) > 1 and (self._bytes > self._most_bytes or ring[0].at < oldest):
                self._bytes -= len(ring.popleft().jpeg)


def _of_one_size(kept: Sequence[Kept]) -> list[Kept]:
    """The newest pictures that have the size of the last one."""
    size = _size(kept[-1])
    first = next((i for i in range(len(kept), 0, -1) if _size(kept[i - 1]) != size), 0)
    return list(kept[first:])


def _size(one: Kept) -> tuple[int, int]:
    """(width, height), from the header alone."""
    with Image.open(io.BytesIO(one.jpeg)) as picture:
        return picture.size


def _mp4(kept: Sequence[Kept]) -> bytes:
    import av

    from turbostream.sinks.encoder import Encoder

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        encoder = Encoder(container, _size(kept[0]))
        for one in kept:
            encoder.add(one.jpeg, one.at - kept[0].at)
        encoder.finish()
    return file.getvalue()


def _webp(kept: Sequence[Kept]) -> bytes:
    import av

    kept = _thinned(kept, WEBP_FPS)
    file = io.BytesIO()
    with av.open(file, "w", format="webp", options={"loop": "0"}) as container:  # 0: endless
        stream = container.add_stream("libwebp_anim", options=WEBP_OPTIONS)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = MILLISECOND
        for one in kept:
            picture = Image.open(io.BytesIO(one.jpeg)).convert("RGB")
            picture.thumbnail((WEBP_SIDE, WEBP_SIDE))
            if one is kept[0]:
                stream.width, stream.height = picture.size
            frame = av.VideoFrame.from_ndarray(np.asarray(picture)).reformat(format="yuv420p")
            frame.pts, frame.time_base = round((one.at - kept[0].at) * 1000), MILLISECOND
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def _thinned(kept: Sequence[Kept], fps: float) -> list[Kept]:
    """At most about `fps` of them a second."""
    found = [kept[0]]
    for one in kept[1:]:
        if one.at - found[-1].at >= UNEVEN / fps:
            found.append(one)
    return found
