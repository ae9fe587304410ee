"""The bytes of a picture's file -> a picture of the stage's size.

Pure functions, any thread except gevent's: decoding takes milliseconds, and seconds for a very
large file, in which Pillow lets other threads run. Knows no channel and no store.
"""

from __future__ import annotations

import ctypes
import io
import struct
import sys
import warnings
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from turbostream.stream.source_status import SourceError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
WANTED = "send a JPEG, PNG, WebP, GIF, BMP or TIFF"
MOST_BYTES = 32_000_000
MOST_PIXELS = 50_000_000
KEPT_SIDE = 2048  # pixels; a larger picture is kept smaller
# From so many pixels on, what decoding took is given back to the system at once. The C library
# would keep it: several hundred megabytes after one picture of MOST_PIXELS.
LARGE = 8_000_000
# Of a progressive JPEG, which has about ten; each takes the time of a whole file.
MOST_SCANS, MOST_SCANNED = 64, 16 * MOST_PIXELS
SCAN = b"\xff\xda"  # the marker before each scan
ORIENTATION = 0x0112  # the tag of EXIF
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow raises for a file that is damaged or forged.
DAMAGED = (
    OSError, ValueError, SyntaxError, TypeError, LookupError, EOFError, struct.error,
    ArithmeticError, MemoryError, Image.DecompressionBombError,
)  # fmt: skip
# What is often sent instead: how it begins and what it is.
OTHERS = (
    (b"MZ", "a program"),
    (b"\x7fELF", "a program"),
    (b"#!", "a script"),
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "an archive"),
)
BRANDS = {
    b"heic": "a HEIC picture", b"heix": "a HEIC picture", b"mif1": "a HEIC picture",
    b"msf1": "a HEIC picture", b"avif": "an AVIF picture", b"avis": "an AVIF picture",
}  # fmt: skip

# What Pillow only warns of is either refused here or no reason for a line in the log.
warnings.filterwarnings("ignore", module=r"PIL\.")

Pixels = NDArray[np.uint8]


class Original(NamedTuple):
    """A decoded picture. image: RGB, upright, its sides at most KEPT_SIDE. size: (width, height) of
    the upright picture as it came, pixels."""

    image: Image.Image
    size: tuple[int, int]


def decode(data: bytes, side: int = KEPT_SIDE) -> Original:
    """The first picture of a file; its transparent parts are black. Raises SourceError.

    side: pixels; a JPEG that is at least twice as large is decoded smaller, with sides of at least
    this. The limits are checked before anything is decoded. 1 pixel is enough.
    """
    check_size(len(data))
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise _too_large() from None
    except DAMAGED:
        raise SourceError(_unreadable(data), 415) from None
    with image:
        if image.width * image.height > MOST_PIXELS:
            raise _too_large()
        if image.format == "JPEG":
            scans = data.count(SCAN)
            if scans > MOST_SCANS or scans * image.width * image.height > MOST_SCANNED:
                raise SourceError("The picture has too many scans; save it as a plain JPEG.")
        is_large = image.width * image.height >= LARGE
        try:
            return _upright(image, side)
        except DAMAGED:
            raise SourceError("The picture is truncated or damaged; send it again.") from None
        finally:
            image.close()
            if is_large:
                _give_back_memory()


def check_size(size: int) -> None:
    """Raise SourceError for a file of `size` bytes that is empty or too large."""
    if not size:
        raise SourceError(f"The picture is empty; {WANTED}.")
    if size > MOST_BYTES:
        raise SourceError(
            f"The picture has {size:,} bytes; {MOST_BYTES:,} is the most.", status=413
        )


def staged(image: Image.Image, size: tuple[int, int], fit: str, mirror: bool) -> Pixels:
    """uint8 RGB [H, W, 3] of `size` (width, height), C-contiguous.

    image: RGB. fit: `cover` fills the stage and cuts off what lies beyond it, `contain` shows the
    whole picture between black bars. mirror: swap left and right.
    """
    (width, height), (wide, high) = image.size, size
    if image.size != size:
        ratios = wide / width, high / height
        if fit == "cover":
            scale = max(ratios)
            seen = min(width, wide / scale), min(height, high / scale)
            left, top = (width - seen[0]) / 2, (height - seen[1]) / 2
            image = _resized(image, size, (left, top, left + seen[0], top + seen[1]))
        else:
            scale = min(ratios)
            inner = max(1, round(width * scale)), max(1, round(height * scale))
            stage = Image.new("RGB", size)
            shown = _resized(image, inner, (0.0, 0.0, width, height))
            stage.paste(shown, ((wide - inner[0]) // 2, (high - inner[1]) // 2))
            image = stage
    if mirror:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.ascontiguousarray(np.asarray(image))


def jpeg(image: Image.Image) -> bytes:
    """The preview of a picture, for those who may see it."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=85)
    return out.getvalue()


def _resized(
    image: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float]
) -> Image.Image:
    return image.resize(size, Image.Resampling.BICUBIC, box, reducing_gap=2.0)


def _give_back_memory() -> None:
    """Takes milliseconds."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # other C libraries have none
        if trim is not None:
            trim(0)


def _too_large() -> SourceError:
    return SourceError(
        f"The picture has more than {MOST_PIXELS // 1_000_000} million pixels; send a smaller one.",
        status=413,
    )


def _upright(image: Image.Image, side: int) -> Original:
    turn = _turn(image)
    size = image.size
    image.draft(None, (side, side))  # of a large JPEG, only as much as is needed
    image.load()
    rgb = _as_rgb(_smaller(_as_levels(image)))
    if turn is not None:
        rgb = rgb.transpose(turn)
        if turn in (TURNS[5], TURNS[6], TURNS[7], TURNS[8]):
            size = size[1], size[0]
    return Original(rgb, size)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """How the camera was held; None: upright, or not told in a way that can be read."""
    try:
        return TURNS.get(image.getexif().get(ORIENTATION, 1))
    except DAMAGED:
        return None


def _as_levels(image: Image.Image) -> Image.Image:
    """8 bits a channel. Pillow converts more bits by clipping, which leaves white."""
    if image.mode.startswith("I;16"):
        levels: NDArray[Any] = np.asarray(image)
        return Image.fromarray((levels >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        levels = np.nan_to_num(np.asarray(image, np.float32))
        top = float(levels.max())
        # Fractions, levels, or levels of 16 or more bits.
        white = next((most for most in (1.0, 255.0, 65535.0) if top <= most), top)
        if image.mode == "I" and top <= 1.0:
            white = 255.0
        return Image.fromarray((levels.clip(0, white) * (255 / white)).astype(np.uint8))
    return image


def _smaller(image: Image.Image) -> Image.Image:
    """With sides of at most KEPT_SIDE, in a mode that has levels rather than indexes."""
    if max(image.size) <= KEPT_SIDE:
        return image
    if image.mode in ("P", "PA", "1") or "transparency" in image.info:
        image = image.convert("RGBA")
    scale = KEPT_SIDE / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return _resized(image, size, (0.0, 0.0, image.width, image.height))


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("RGBA", "LA", "La", "RGBa", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
    return image.convert("RGB")


def _unreadable(data: bytes) -> str:
    """What `data` is instead of a picture, in one sentence."""
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    kind = next((what for begins, what in OTHERS if data.startswith(begins)), "")
    if data[4:8] == b"ftyp":
        kind = BRANDS.get(data[8:12], "a video")
    elif b"<svg" in head.lower():
        kind = "an SVG drawing"
    elif not kind and not any(byte < 9 for byte in head[:256]):
        kind = "text" if _is_text(data[:256]) else ""
    if kind:
        return f"This is {kind}; {WANTED}."
    return f"The picture is damaged or of an unknown kind; {WANTED}."


def _is_text(data: bytes) -> bool:
    try:
        text = data.decode("utf-8", "ignore").replace("\n", "").replace("\t", "")
    except ValueError:
        return False
    return bool(text) and text.isprintable()
