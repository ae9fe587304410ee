"""A picture in place of a frame: what the stream is doing, in words, instead of a black page.

The gevent thread only, so each is drawn once and cached.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from turbostream.stream.state import State

SIDE = 512
TITLES: Mapping[State, str] = {
    State.STARTING: "Starting",
    State.DOWNLOADING: "Downloading the model",
    State.LOADING: "Loading the model",
    State.COMPILING: "Compiling",
    State.STREAMING: "Painting",
    State.RESTING: "Waking up",
    State.FAILED: "No picture just now",
}


@lru_cache(maxsize=32)
def placeholder_jpeg(state: State, message: str) -> bytes:
    """A 512x512 JPEG that shows the state's name and its sentence."""
    image = Image.new("RGB", (SIDE, SIDE), (22, 24, 31))
    draw = ImageDraw.Draw(image)
    for row in range(SIDE):  # a gradient, so that it does not look like a broken picture
        share = row / SIDE
        draw.line(
            ((0, row), (SIDE, row)),
            fill=(22 + int(26 * share), 24 + int(18 * share), 31 + int(48 * share)),
        )
    title_font, text_font = ImageFont.load_default(34), ImageFont.load_default(19)
    draw.text((SIDE / 2, 210), TITLES[state], (240, 240, 245), title_font, anchor="mm")
    lines = textwrap.wrap(message, 48)[:6]
    for index, line in enumerate(lines):
        place = (SIDE / 2, 262 + 27 * index)
        draw.text(place, line, (178, 180, 195), text_font, anchor="mm")
    file = io.BytesIO()
    image.save(file, "JPEG", quality=88)
    return file.getvalue()
