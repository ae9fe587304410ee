"""H.264 video of JPEGs, with the time of each picture; for recordings, clips and broadcasts.

The JPEGs are full-range BT.601, as JFIF says; the video is limited-range BT.709, tagged as such,
which every player assumes or reads. Decoding by FFmpeg takes about half of Pillow's time for the
same, since the chroma stays subsampled. One thread at a time: the encoder has no threads of its
own, so that it takes no core from the engine. Importing this module imports PyAV: import it only
when there is something to encode.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import PictureType
from av.video.plane import VideoPlane
from av.video.reformatter import (
    ColorPrimaries,
    ColorRange,
    Colorspace,
    ColorTrc,
    VideoReformatter,
)
from numpy.typing import NDArray

from turbostream.stream.recording import RecordingError

TICKS = 90_000  # a second, in the time base of the video
KEYFRAME_S = 2.0  # a player can start at so many points

# benchmarks/recording.py --presets compares them. `zerolatency`: no picture waits in the encoder.
QUALITY: Mapping[str, str] = {"preset": "veryfast", "crf": "20"}
_ALWAYS = {"tune": "zerolatency", "forced-idr": "1"}


class PictureError(RecordingError):
    """A picture that does not belong in the video, in one sentence."""


class Encoder:
    """A video stream in `container`, which the caller opened and closes.

    size: (width, height) of the pictures in pixels; an odd side is padded by one pixel.
    options: of x264, such as QUALITY, or {"preset": "veryfast", "b": "2500000"} for a bit rate.
    keyframe_s: a keyframe at least so often, in seconds. fps: about how many pictures come a
    second, for the rate control. frames: encoded so far.
    """

    def __init__(
        self,
        container: OutputContainer,
        size: tuple[int, int],
        options: Mapping[str, str] = QUALITY,
        keyframe_s: float = KEYFRAME_S,
        fps: float = 30.0,
    ) -> None:
        self.size = size
        self.frames = 0
        self._container = container
        self._stream = container.add_stream(
            "libx264", Fraction(fps).limit_denominator(1000), {**_ALWAYS, **options}
        )
        self._stream.time_base = Fraction(1, TICKS)
        context = self._stream.codec_context
        context.width, context.height = (side + side % 2 for side in size)
        context.pix_fmt = "yuv420p"
        context.time_base = Fraction(1, TICKS)
        context.thread_count = 1
        context.max_b_frames = 0
        context.gop_size = TICKS  # in frames: keyframes are placed by time, see `add`
        context.color_range = ColorRange.MPEG
        context.colorspace = Colorspace.ITU709
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        self._keyframe_ticks = round(keyframe_s * TICKS)
        self._keyframe_at = -self._keyframe_ticks
        self._last = -1
        self._decoder = av.CodecContext.create("mjpeg", "r")
        self._decoder.thread_count = 1
        self._reformatter = VideoReformatter()

    @property
    def seconds(self) -> float:
        """The time of the newest picture."""
        return max(0, self._last) / TICKS

    def add(self, jpeg: bytes, time_s: float) -> int:
        """Encode a picture that is shown from `time_s` on, in seconds from the start of the video;
        returns how many bytes it took.

        The times of a video rise: one that does not is taken as the next tick. Raises PictureError
        for a picture of another size or one that cannot be decoded, and what the container's file
        raises.
        """
        frame = self._decoded(jpeg)
        frame.pts = self._last = max(round(time_s * TICKS), self._last + 1)
        frame.time_base = Fraction(1, TICKS)
        is_key = frame.pts - self._keyframe_at >= self._keyframe_ticks
        if is_key:
            self._keyframe_at = frame.pts
        frame.pict_type = PictureType.I if is_key else PictureType.NONE
        self.frames += 1
        return self._mux(frame)

    def finish(self) -> int:
        """Encode what is left; no picture can follow. Returns how many bytes it took."""
        return self._mux(None)

    def _mux(self, frame: av.VideoFrame | None) -> int:
        packets = self._stream.encode(frame)
        self._container.mux(packets)
        return sum(packet.size for packet in packets)

    def _decoded(self, jpeg: bytes) -> av.VideoFrame:
        try:
            frames = self._decoder.decode(av.Packet(jpeg)) if jpeg else []  # empty: the end
        except av.FFmpegError:
            frames = []
        if len(frames) != 1:
            raise PictureError("A picture is not a JPEG that can be decoded.")
        if (found := (frames[0].width, frames[0].height)) != self.size:
            raise PictureError(
                f"The size of the pictures changed from {self.size[0]}x{self.size[1]} to "
                f"{found[0]}x{found[1]}, which a video cannot: start another one."
            )
        return _padded(
            self._reformatter.reformat(
                frames[0],
                format="yuv420p",
                src_colorspace=Colorspace.ITU601,
                dst_colorspace=Colorspace.ITU709,
                src_color_range=ColorRange.JPEG,
                dst_color_range=ColorRange.MPEG,
            )
        )


def size_of(jpeg: bytes) -> tuple[int, int]:
    """(width, height) in pixels; raises PictureError."""
    try:
        frame = av.CodecContext.create("mjpeg", "r").decode(av.Packet(jpeg))[0]
    except (av.FFmpegError, IndexError):
        raise PictureError("A picture is not a JPEG that can be decoded.") from None
    return frame.width, frame.height


def _padded(frame: av.VideoFrame) -> av.VideoFrame:
    """`frame` with even sides: its last column and row are repeated where a side is odd. Its chroma
    has the size of the even picture already."""
    if not (frame.width % 2 or frame.height % 2):
        return frame
    wide, high = (side + side % 2 for side in (frame.width, frame.height))
    padded = av.VideoFrame(wide, high, "yuv420p")
    for source, target in zip(frame.planes, padded.planes, strict=True):
        pixels = _pixels(source)
        missing = (0, target.height - source.height), (0, target.width - source.width)
        _pixels(target)[:] = np.pad(pixels, missing, mode="edge")
    return padded


def _pixels(plane: VideoPlane) -> NDArray[np.uint8]:
    """[H, W] uint8, a view of `plane`."""
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return lines[: plane.height, : plane.width]
