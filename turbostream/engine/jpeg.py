"""Pixels to JPEG with Pillow, on any thread.

Into a file descriptor rather than a BytesIO: Pillow releases the GIL only where it can write to
a descriptor by itself (`_encode_to_file` in its src/encode.c); with a BytesIO two threads make
hardly more JPEGs than one, and hold up the thread that launches the next frame. The descriptor
is memory (memfd), or where there is none an unnamed temporary file.
"""

from __future__ import annotations

import io
import os
import tempfile
import threading
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

THREADS = max(1, min(8, (os.cpu_count() or 2) - 1))

_own = threading.local()


def _file() -> IO[bytes]:
    """This thread's own file, kept open."""
    file: IO[bytes] | None = getattr(_own, "file", None)
    if file is None:
        if hasattr(os, "memfd_create"):
            file = open(os.memfd_create("jpeg"), "w+b", buffering=0)  # noqa: SIM115
        else:
            file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        _own.file = file
    return file


def encode(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """One JPEG with 4:2:0 chroma of `pixels`, [H, W, 4] uint8 RGBX."""
    file = _file()
    file.seek(0)
    file.truncate()
    high, wide = pixels.shape[:2]
    # Pillow's own layout: RGB would be copied into it, for longer than a frame's share of the GIL.
    image = Image.frombuffer("RGBX", (wide, high), pixels, "raw", "RGBX", 0, 1)
    image.save(file, "JPEG", quality=quality, subsampling="4:2:0")
    # Pillow wrote past Python's back: the descriptor itself knows how far.
    size = os.lseek(file.fileno(), 0, os.SEEK_CUR)
    return os.pread(file.fileno(), size, 0)


def decode(data: bytes) -> NDArray[np.uint8]:
    """The pixels of a JPEG, [H, W, 3] uint8 RGB; a copy that may be written to."""
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))
