"""Every kind of picture that may be sent, and everything else that is."""

from __future__ import annotations

import gc
import io
import resource
import struct
import sys
import threading
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.sources.files import BLUE, GREEN, RED, SQUARES, corners, jpeg, near, quarters, saved
from turbostream.sources.picture import KEPT_SIDE, MOST_BYTES, Original, decode, staged
from turbostream.stream.source_status import SourceError

SIZE = (64, 48)


def shown(original: Original) -> list[tuple[int, int, int]]:
    return corners(staged(original.image, SIZE, "cover", mirror=False))


def assert_quarters(original: Original, expected: tuple[tuple[int, int, int], ...]) -> None:
    found = shown(original)
    assert all(near(*pair) for pair in zip(found, expected, strict=True)), found


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_each_format_is_read(form: str) -> None:
    original = decode(saved(quarters(), form))
    assert original.size == SIZE
    assert original.image.mode == "RGB"
    assert_quarters(original, SQUARES)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "jpeg", "tiff_deflate", "group4"])
def test_a_tiff_in_its_compressions(compression: str) -> None:
    image = quarters()
    if compression == "group4":
        decode(saved(image.convert("1"), "TIFF", compression=compression))
        return
    assert_quarters(decode(saved(image, "TIFF", compression=compression)), SQUARES)


def test_a_palette_is_resolved_also_in_a_large_picture() -> None:
    for size in (SIZE, (KEPT_SIDE + 64, 96)):
        image = quarters(size).quantize(16)
        assert_quarters(decode(saved(image, "PNG")), SQUARES)


def test_cmyk_is_converted() -> None:
    assert_quarters(decode(saved(quarters().convert("CMYK"), "JPEG", quality=95)), SQUARES)
    assert_quarters(decode(saved(quarters().convert("CMYK"), "TIFF")), SQUARES)


def test_16_bits_are_scaled_and_not_clipped() -> None:
    levels = np.full((48, 64), 100 * 257, np.uint16)
    for form in ("PNG", "TIFF"):
        pixels = np.asarray(decode(saved(Image.fromarray(levels), form)).image)
        assert (pixels == 100).all()


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        (np.linspace(0, 1, 48 * 64, dtype=np.float32), 255),
        (np.linspace(0, 200, 48 * 64, dtype=np.float32), 200),
        (np.linspace(0, 65535, 48 * 64).astype(np.int32), 255),
        (np.linspace(0, 2**30, 48 * 64).astype(np.int32), 255),
        (np.array([np.nan, -5.0, np.inf, 0.5] * (12 * 64), np.float32), 255),
        (np.zeros(48 * 64, np.int32), 0),
    ],
)
def test_fractions_and_32_bits(levels: np.ndarray, expected: int) -> None:
    image = Image.fromarray(levels.reshape(48, 64))
    pixels = np.asarray(decode(saved(image, "TIFF")).image)
    assert pixels.shape == (48, 64, 3)
    assert abs(int(pixels.max()) - expected) <= 1


@pytest.mark.parametrize("size", [SIZE, (KEPT_SIDE + 64, 96)])
def test_what_is_transparent_is_black(size: tuple[int, int]) -> None:
    image = quarters(size).convert("RGBA")
    image.paste((255, 255, 255, 0), (0, 0, size[0] // 2, size[1] // 2))
    expected = ((0, 0, 0), *SQUARES[1:])
    for form in ("PNG", "WEBP", "TIFF"):
        assert_quarters(decode(saved(image, form)), expected)
    grey = image.convert("LA")
    assert shown(decode(saved(grey, "PNG")))[0] == (0, 0, 0)
    one = quarters(size)
    assert_quarters(decode(saved(one, "PNG", transparency=SQUARES[0])), expected)
    indexed = one.quantize(16)
    index = int(np.asarray(indexed)[0, 0])
    assert_quarters(decode(saved(indexed, "PNG", transparency=index)), expected)


def test_of_an_animation_the_first_picture_is_taken() -> None:
    others = [Image.new("RGB", SIZE, colour) for colour in (RED, GREEN)]
    for form in ("GIF", "WEBP", "PNG", "TIFF"):
        data = saved(quarters(), form, save_all=True, append_images=others)
        assert_quarters(decode(data), SQUARES)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(64, 48), (2 * KEPT_SIDE + 8, 64)])
def test_every_orientation_is_shown_upright(orientation: int, size: tuple[int, int]) -> None:
    upright = Image.new("RGB", size)
    upright.paste(quarters((size[0], size[1])))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    held = upright if orientation == 1 else upright.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    for form in ("JPEG", "PNG", "WEBP"):
        original = decode(saved(held, form, exif=exif))
        assert original.size == size
        assert_quarters(original, SQUARES)


def test_an_exif_that_cannot_be_read_is_no_reason_to_refuse() -> None:
    for exif in (b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff"):
        assert_quarters(decode(saved(quarters(), "JPEG", exif=exif)), SQUARES)


def test_a_single_pixel_is_a_picture_of_one_colour() -> None:
    original = decode(saved(Image.new("RGB", (1, 1), BLUE), "PNG"))
    for fit in ("cover", "contain"):
        pixels = staged(original.image, (64, 64), fit, mirror=False)
        assert (pixels == BLUE).all()


def test_a_line_of_50_000_pixels_is_accepted() -> None:
    original = decode(saved(Image.new("RGB", (1, 50_000), BLUE), "PNG"))
    assert original.size == (1, 50_000)
    assert (staged(original.image, SIZE, "cover", mirror=False) == BLUE).all()
    assert staged(original.image, SIZE, "contain", mirror=False).shape == (48, 64, 3)


def test_for_a_small_stage_a_jpeg_is_decoded_smaller() -> None:
    original = decode(saved(quarters((1280, 720)), "JPEG"), side=256)
    assert original.size == (1280, 720)
    assert original.image.size == (640, 360)
    assert_quarters(original, SQUARES)


def test_a_progressive_jpeg_is_read() -> None:
    assert_quarters(decode(PROGRESSIVE), SQUARES)


def test_a_large_picture_is_kept_smaller_and_says_its_own_size() -> None:
    for form in ("JPEG", "PNG"):
        original = decode(saved(quarters((4096, 3072)), form))
        assert original.size == (4096, 3072)
        assert original.image.size == (KEPT_SIDE, KEPT_SIDE * 3 // 4)
        assert_quarters(original, SQUARES)


# -- fitting ---------------------------------------------------------------------------------------


def test_cover_fills_the_stage_and_cuts_off_the_sides() -> None:
    image = Image.new("RGB", (300, 100), GREEN)
    image.paste(RED, (0, 0, 90, 100))
    image.paste(BLUE, (210, 0, 300, 100))
    pixels = staged(image, (64, 64), "cover", mirror=False)
    assert near(pixels[32, 32], GREEN)
    assert near(pixels[32, 1], GREEN, 40)
    assert near(pixels[32, 62], GREEN, 40)


def test_contain_shows_all_between_black_bars() -> None:
    pixels = staged(quarters((128, 64)), (64, 64), "contain", mirror=False)
    assert (pixels[:16] == 0).all()
    assert (pixels[48:] == 0).all()
    assert all(near(*pair) for pair in zip(corners(pixels[16:48]), SQUARES, strict=True))


def test_mirror_swaps_left_and_right() -> None:
    pixels = staged(quarters(), SIZE, "cover", mirror=True)
    mirrored = (SQUARES[1], SQUARES[0], SQUARES[3], SQUARES[2])
    assert all(near(*pair) for pair in zip(corners(pixels), mirrored, strict=True))
    assert pixels.flags.c_contiguous


def test_a_picture_of_the_stages_size_is_not_resampled() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    original = decode(saved(Image.fromarray(pixels), "PNG"))
    assert (staged(original.image, SIZE, "cover", mirror=False) == pixels).all()


# -- what is refused -------------------------------------------------------------------------------


def png(width: int, height: int, rows: int = 1) -> bytes:
    """A PNG of a size that its data does not fill."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(rows * (1 + 3 * min(width, 1000))))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def bmp(width: int, height: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 100, 0, 0, 54) + info + bytes(100)


WHOLE = jpeg(RED, (640, 480))
NOISE = saved(
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (200, 200, 3), np.uint8)), "PNG"
)
PROGRESSIVE = saved(quarters(), "JPEG", progressive=True)
LAST_SCAN = PROGRESSIVE.rindex(b"\xff\xda")
SVG = b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'><rect/></svg>"
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
REFUSED = [
    (b"", 400, "The picture is empty"),
    (png(30_000, 30_000), 413, "more than 50 million pixels"),
    (png(7072, 7072), 413, "more than 50 million pixels"),
    (png(2**31 - 1, 2**31 - 1), 413, "more than 50 million pixels"),
    (bmp(30_000, 30_000), 413, "more than 50 million pixels"),
    (bytes(MOST_BYTES + 1), 413, "bytes; 32,000,000 is the most"),
    (png(7000, 7000), 400, "truncated or damaged"),
    (WHOLE[: len(WHOLE) // 2], 400, "truncated or damaged"),
    (NOISE[: len(NOISE) // 2], 400, "truncated or damaged"),
    (WHOLE[:20], 415, "damaged or of an unknown kind"),
    (SVG, 415, "This is an SVG drawing"),
    (b"\xef\xbb\xbf  " + SVG, 415, "This is an SVG drawing"),
    (HEIC, 415, "This is a HEIC picture"),
    (saved(Image.new("RGB", SIZE), "AVIF"), 415, "This is an AVIF picture"),
    (b"\0\0\0\x20ftypisom" + bytes(100), 415, "This is a video"),
    (Path("/bin/sh").read_bytes()[:4096], 415, "This is a program"),
    (b"MZ\x90\0" + bytes(200), 415, "This is a program"),
    (b"#!/bin/sh\nrm -rf /\n", 415, "This is a script"),
    (b"%PDF-1.7\n%\xe2\xe3", 415, "This is a PDF"),
    (b"PK\x03\x04" + bytes(100), 415, "This is an archive"),
    (b"a line of text\n", 415, "This is text"),
    ("Zwei Zeilen\nmit Umlaut: ü".encode(), 415, "This is text"),
    (WHOLE[:3], 415, "damaged or of an unknown kind"),
    (saved(Image.new("RGB", SIZE), "ICO"), 415, "damaged or of an unknown kind"),
    (saved(Image.new("RGB", SIZE), "PPM"), 415, "unknown kind"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "This is text"),
    (np.random.default_rng(2).bytes(5000), 415, "damaged or of an unknown kind"),
    (PROGRESSIVE[:-2] + 60 * PROGRESSIVE[LAST_SCAN:-2] + b"\xff\xd9", 400, "too many scans"),
]


@pytest.mark.parametrize(("data", "status", "sentence"), REFUSED)
def test_what_is_no_picture_is_refused_in_one_sentence(
    data: bytes, status: int, sentence: str
) -> None:
    tracemalloc.start()
    began = time.monotonic()
    try:
        with pytest.raises(SourceError) as refused:
            decode(data)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sentence in str(refused.value)
    assert refused.value.status == status
    assert str(refused.value).count("\n") == 0
    assert str(refused.value).endswith(".")
    assert time.monotonic() - began < 5
    assert most < 300_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and only Linux gives it back")
def test_a_very_large_picture_leaves_no_memory_behind() -> None:
    data = saved(Image.new("RGBA", (6000, 6000)), "WEBP", lossless=True)
    decode(data)  # what is loaded once
    gc.collect()
    before = resident()
    for _ in range(2):
        in_a_thread = threading.Thread(target=decode, args=(data,))
        in_a_thread.start()
        in_a_thread.join()
    assert resident() - before < 50_000_000


def resident() -> int:
    """Bytes of memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def test_no_damaged_file_raises_anything_else() -> None:
    generator = np.random.default_rng(3)
    for form in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"):
        whole = np.frombuffer(saved(quarters(), form), np.uint8)
        for _ in range(150):
            data = whole.copy()
            places = generator.integers(0, len(data), generator.integers(1, 30))
            data[places] = generator.integers(0, 255, len(places))
            try:
                original = decode(data[: generator.integers(1, len(data) + 1)].tobytes())
            except SourceError:
                continue
            assert original.image.mode == "RGB"
            io.BytesIO(staged(original.image, SIZE, "cover", mirror=False).tobytes())
