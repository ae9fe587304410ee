"""Earlier frames as sources, and what is done to one of them first.

`transformed` is a pure function of the JPEG, so a replay that has the same frame gets the same
pixels.
"""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image

from turbostream.sources.picture import Pixels, staged
from turbostream.stream.frame import KEPT, FrameBuffer
from turbostream.stream.shot import EarlierFrame, ShotError

SHRUNK_BELOW = 0.7  # zoom: below it the picture is averaged, above it bilinear is smooth enough


def resolve(buffer: FrameBuffer, source: EarlierFrame, width: int, height: int) -> Pixels:
    """See `engine_api.Resolve`. buffer: of the channel that has shown the frame."""
    frame = buffer.find(source.number)
    if frame is None:
        raise ShotError(
            f"Frame {source.number} is not one of the newest {KEPT}, so it cannot be a source."
        )
    return transformed(frame.source, source, width, height)


def transformed(jpeg: bytes, source: EarlierFrame, width: int, height: int) -> Pixels:
    """uint8 RGB [height, width, 3]: the frame as `source` wants it. What comes in from beyond its
    edges is the picture reflected."""
    with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as opened:
        image = opened.convert("RGB")
    if image.size != (width, height):
        image = Image.fromarray(staged(image, (width, height), "cover", mirror=False))
    zoom, angle = source.zoom, math.radians(source.rotation)
    if zoom < SHRUNK_BELOW:
        smaller = max(1, round(width * zoom)), max(1, round(height * zoom))
        image, zoom = image.resize(smaller, Image.Resampling.BOX), 1.0
    shift = source.shift_x * width, source.shift_y * height
    if (zoom, angle, *shift) == (1.0, 0.0, 0.0, 0.0) and image.size == (width, height):
        return np.ascontiguousarray(np.asarray(image))
    # From a place in the result to its place in `image`: without the shift, then turned back and
    # scaled back about the centre.
    cosine, sine = math.cos(angle) / zoom, math.sin(angle) / zoom
    x0 = image.width / 2 - cosine * (width / 2 + shift[0]) - sine * (height / 2 + shift[1])
    y0 = image.height / 2 + sine * (width / 2 + shift[0]) - cosine * (height / 2 + shift[1])
    corners = [(x, y) for x in (0, width) for y in (0, height)]
    across = [x0 + cosine * x + sine * y for x, y in corners]
    down = [y0 - sine * x + cosine * y for x, y in corners]
    margin = 1 if angle else 0  # for the filter
    left, right = _beyond(across, image.width, margin)
    top, bottom = _beyond(down, image.height, margin)
    if left or right or top or bottom:
        padding = ((top, bottom), (left, right), (0, 0))
        image = Image.fromarray(np.pad(np.asarray(image), padding, "symmetric"))
    size, bilinear = (width, height), Image.Resampling.BILINEAR
    if angle:
        matrix = (cosine, sine, x0 + left, -sine, cosine, y0 + top)
        shown = image.transform(size, Image.Transform.AFFINE, matrix, bilinear)
    else:  # twice as fast
        begin = max(0.0, min(across) + left), max(0.0, min(down) + top)
        end = min(image.width, max(across) + left), min(image.height, max(down) + top)
        shown = image.resize(size, bilinear, (*begin, *end))
    return np.ascontiguousarray(np.asarray(shown))


def _beyond(places: list[float], side: int, margin: int) -> tuple[int, int]:
    """How many pixels before and behind a picture's side are seen, and `margin`."""
    before, behind = math.ceil(-min(places)), math.ceil(max(places) - side)
    return max(0, before + margin), max(0, behind + margin)
