"""The input pictures of a recording, NAME.sources: lossless WebP files one after another.

One file, so that a recording stays a few files however many pictures a camera sent; the session has
the place of each. A picture is in the file before the session names it, so a killed program leaves
none that is named and missing. Pillow is imported when a picture is written or read.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUFFIX = ".sources"
MOST_BYTES = 256_000_000  # of one picture
MOST_OFFSET = 10**13  # bytes
MOST_PIXELS = 50_000_000
# The fastest lossless form measured: 5 ms for a camera's 256x256, 22 ms for 512x512, where PNG
# takes 10 and 36 ms and is no smaller. A higher method saves a third and takes three times as long.
FORM = {"lossless": True, "method": 0, "quality": 0, "exact": True}


class Place(NamedTuple):
    """Where a picture is in the file, in bytes."""

    offset: int
    size: int


class SourceFileError(ValueError):
    """One sentence on why a picture cannot be read."""


class SourceWriter:
    """Appends pictures to `path`, a new file; size: in bytes. One thread at a time; raises
    OSError."""

    def __init__(self, path: Path) -> None:
        """Raises FileExistsError rather than overwrite a file."""
        self.path, self.size = path, 0
        self._file = path.open("xb", buffering=0)
        os.fchmod(self._file.fileno(), 0o600)  # they may show the room in front of a camera

    def add(self, pixels: NDArray[np.uint8]) -> Place:
        """pixels: RGB [H, W, 3]. If the disk refuses, the file ends with the picture before."""
        from PIL import Image

        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "WEBP", **FORM)
        place, rest = Place(self.size, out.tell()), out.getbuffer()
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._file.truncate(self.size)
            raise
        self.size += place.size
        return place

    def close(self) -> None:
        self._file.close()


def read(path: Path, place: Place) -> NDArray[np.uint8]:
    """The picture there, RGB [H, W, 3]. The file may come from anywhere: raises SourceFileError."""
    import numpy as np
    from PIL import Image

    if not 0 < place.size <= MOST_BYTES:
        raise SourceFileError(f"A picture of {place.size:,} bytes is not one of this program's.")
    refusal = SourceFileError(f"{path} has no picture at byte {place.offset:,}; use another copy.")
    if place.offset > MOST_OFFSET:
        raise refusal
    try:
        with path.open("rb") as file:
            file.seek(place.offset)
            data = file.read(place.size)
    except OSError as error:
        raise SourceFileError(f"{path} cannot be read ({error.strerror}).") from None
    if len(data) < place.size:
        raise refusal
    found: NDArray[np.uint8]
    try:
        with Image.open(io.BytesIO(data), formats=("WEBP",)) as image:
            if image.width * image.height > MOST_PIXELS:
                raise refusal
            found = np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise refusal from None
    return found
