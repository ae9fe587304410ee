"""Pictures and videos as files."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Colour = tuple[int, int, int]
RED, GREEN, BLUE = (200, 30, 30), (30, 180, 40), (30, 40, 200)
SQUARES = (RED, GREEN, BLUE, (200, 200, 30))  # of `quarters`, row by row


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def jpeg(colour: Colour, size: tuple[int, int] = (64, 48)) -> bytes:
    return saved(Image.new("RGB", size, colour), "JPEG", quality=95)


def quarters(size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Four rectangles of the colours of SQUARES."""
    width, height = size[0] // 2, size[1] // 2
    image = Image.new("RGB", size)
    for number, colour in enumerate(SQUARES):
        left, top = number % 2 * width, number // 2 * height
        image.paste(colour, (left, top, left + width, top + height))
    return image


def corners(pixels: np.ndarray[Any, Any]) -> list[Colour]:
    """The colours in the middle of the four quarters, row by row."""
    height, width = pixels.shape[:2]
    places = [(y, x) for y in (height // 4, height * 3 // 4) for x in (width // 4, width * 3 // 4)]
    return [tuple(int(level) for level in pixels[place]) for place in places]


def near(one: Sequence[int], other: Sequence[int], within: int = 12) -> bool:
    return max(abs(int(a) - int(b)) for a, b in zip(one, other, strict=True)) <= within


def video(file: Path, *arguments: str, colours: Sequence[Colour] = (RED, BLUE)) -> Path:
    """A second of each colour at 10 pictures a second, 128x96, as ffmpeg makes it with
    `arguments`."""
    raw = b"".join(bytes(colour) * (128 * 96) * 10 for colour in colours)
    command = ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", "128x96", "-r", "10", "-i", "-", *arguments, str(file)]
    subprocess.run(command, input=raw, check=True, timeout=60)
    return file
