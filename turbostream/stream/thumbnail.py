"""Thumbnails of looks: small JPEGs, made from a painted picture, or uploaded and checked.

Pillow only, pure functions, any thread except gevent's: decoding takes milliseconds. Knows no look.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

from turbostream.stream.scene_checks import SceneError

if TYPE_CHECKING:  # settings are checked with this module before any library is imported
    from PIL import Image

WIDTH = 160
QUALITY = 80
MOST_BYTES = 64 * 1024
MOST_SIDE = 1024
MOST_SCANS = 64  # of a progressive file, which has about ten; each is decoded at full size
KEPT_BYTES = 16 * 1024  # a larger upload is encoded again
SCAN = b"\xff\xda"  # the marker before each scan
# What Pillow raises for a file that is damaged or forged, beside DecompressionBombError.
UNREADABLE = (OSError, ValueError, SyntaxError, TypeError, LookupError, EOFError, struct.error)


def of_picture(jpeg: bytes) -> bytes:
    """The thumbnail of a painted picture, WIDTH pixels wide or as wide as the picture."""
    from PIL import Image

    with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
        return _scaled(image.convert("RGB"))


def checked(data: bytes) -> bytes:
    """An uploaded thumbnail as it is kept: scaled down to WIDTH pixels, or encoded again, if it is
    too large. Raises SceneError if it is not a complete JPEG within MOST_BYTES and MOST_SIDE."""
    from PIL import Image

    if len(data) > MOST_BYTES:
        raise SceneError(
            f"The thumbnail has {len(data):,} bytes; {MOST_BYTES:,} is the most for a JPEG."
        )
    if data.count(SCAN) > MOST_SCANS:
        raise SceneError("The thumbnail has too many scans; save it as a plain JPEG.")
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            if max(image.size) > MOST_SIDE:  # before anything is decoded
                raise SceneError(
                    f"The thumbnail is {image.width} by {image.height} pixels; {MOST_SIDE} is the "
                    "most for a side."
                )
            pixels = image.convert("RGB")
    except SceneError:
        raise
    except (*UNREADABLE, Image.DecompressionBombError):
        raise SceneError("The thumbnail is not a JPEG that can be decoded.") from None
    if pixels.width <= WIDTH and len(data) <= KEPT_BYTES:
        return data
    return _scaled(pixels)


def _scaled(pixels: Image.Image) -> bytes:
    from PIL import Image

    width = min(WIDTH, pixels.width)
    height = max(1, min(4 * WIDTH, round(pixels.height * width / pixels.width)))
    out = io.BytesIO()
    pixels.resize((width, height), Image.Resampling.LANCZOS).save(out, "JPEG", quality=QUALITY)
    return out.getvalue()
