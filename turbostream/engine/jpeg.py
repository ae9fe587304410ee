"""JPEG encoding with Pillow, on any thread.

Pillow writes to a file descriptor rather than a BytesIO because it releases the GIL only when it
can write to a descriptor (`_encode_to_file` in its src/encode.c). With a BytesIO two threads encode
hardly faster than one, and block the thread that launches the next frame. The descriptor is a
memfd, or an unnamed temporary file where memfd is unavailable.
"""

from __future__ import annotations

import io
import os
import tempfile
import threading
from functools import lru_cache
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

THREADS = max(1, min(8, (os.cpu_count() or 2) - 1))

_own = threading.local()


def _file() -> IO[bytes]:
    """This thread's file, kept open."""
    file: IO[bytes] | None = getattr(_own, "file", None)
    if file is None:
        if hasattr(os, "memfd_create"):
            file = open(os.memfd_create("jpeg"), "w+b", buffering=0)  # noqa: SIM115
        else:
            file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        _own.file = file
    return file


@lru_cache(maxsize=64)
def scaled(brightness: float) -> list[int]:
    """A lookup table: round(value * brightness) of the 256 values of a byte, halves to even."""
    return [round(value * brightness) for value in range(256)]


def encode(
    pixels: NDArray[np.uint8],
    quality: int,
    brightness: float = 1.0,
    size: tuple[int, int] | None = None,
) -> bytes:
    """`pixels`, [H, W, 4] uint8 RGBX, as a JPEG with 4:2:0 chroma.

    brightness: factor of the pixels' values, 0 to 1; 1 costs nothing. size: (width, height) that
    they are resampled to; None: their own. `pixels` are not changed.
    """
    file = _file()
    file.seek(0)
    file.truncate()
    high, wide = pixels.shape[:2]
    # RGBX is Pillow's internal layout. RGB would be copied into it while holding the GIL.
    image = Image.frombuffer("RGBX", (wide, high), pixels, "raw", "RGBX", 0, 1)
    if size is not None and size != (wide, high):  # releases the GIL, as `point` does
        image = image.resize(size, Image.Resampling.LANCZOS)
    if brightness != 1:  # `point` releases the GIL; indexing a NumPy table does not
        image = image.point(scaled(brightness) * 4)
    image.save(file, "JPEG", quality=quality, subsampling="4:2:0")
    # Pillow writes to the descriptor directly, so Python's file object does not know the position.
    length = os.lseek(file.fileno(), 0, os.SEEK_CUR)
    return os.pread(file.fileno(), length, 0)


def decode(data: bytes) -> NDArray[np.uint8]:
    """The pixels of a JPEG, [H, W, 3] uint8 RGB, as a writable copy."""
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))
