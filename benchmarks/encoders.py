"""Encoders of the stream's pictures: `python -m benchmarks.encoders PICTURE ...`.

Compares Pillow's JPEG as the engine writes it, PyTurboJPEG and simplejpeg where they are installed,
and Pillow's WebP: milliseconds, bytes, and SSIM of the luma against the pixels. The time is the CPU
time of the one thread that encodes, which other programs change little. The pictures are noise-like
detail at 256x256 and 512x512, and each PICTURE as it is and enlarged to 512x512. Prints a table and
one JSON line.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.presets import ssim
from benchmarks.report import emit, machine, percentile
from turbostream.engine import jpeg

Pixels = NDArray[np.uint8]  # [H, W, 4], RGBX as the engine delivers it
Encode = Callable[[Pixels], bytes]

QUALITIES = (75, 85, 95)
WEBP_METHODS = (0, 4)
LARGE = (512, 512)


def detail(side: int) -> Image.Image:
    """Noise with a spectrum like that of grass or gravel: hard to compress, but not white."""
    noise = np.random.default_rng(0).normal(size=(side, side, 3))
    falling = 1 / np.maximum(np.hypot(*np.meshgrid(*[np.fft.fftfreq(side)] * 2)), 1 / side) ** 0.5
    shaped = np.fft.ifft2(np.fft.fft2(noise, axes=(0, 1)) * falling[..., None], axes=(0, 1)).real
    return Image.fromarray((shaped / shaped.std() * 48 + 128).clip(0, 255).astype(np.uint8))


def pictures(files: list[Path]) -> Iterator[tuple[str, Image.Image]]:
    for file in files:
        own = Image.open(file).convert("RGB")
        yield f"{file.stem} {own.width}x{own.height}", own
        yield f"{file.stem} {LARGE[0]}x{LARGE[1]}", own.resize(LARGE, Image.Resampling.LANCZOS)
    for side in (256, 512):
        yield f"detail {side}x{side}", detail(side)


def encoders() -> Iterator[tuple[str, str, int, Encode]]:
    """(name, chroma, quality, function) of each that is installed."""
    for quality in QUALITIES:
        yield "Pillow JPEG", "4:2:0", quality, lambda it, q=quality: jpeg.encode(it, q)
        yield "Pillow JPEG", "4:4:4", quality, lambda it, q=quality: _pillow(it, quality=q)
        yield from _simplejpeg(quality)
        yield from _turbojpeg(quality)
        for method in WEBP_METHODS:
            name = f"Pillow WebP, method {method}"
            yield name, "4:2:0", quality, lambda it, q=quality, m=method: _webp(it, q, m)


def _pillow(pixels: Pixels, quality: int) -> bytes:
    file = io.BytesIO()
    high, wide = pixels.shape[:2]
    image = Image.frombuffer("RGBX", (wide, high), pixels, "raw", "RGBX", 0, 1)
    image.save(file, "JPEG", quality=quality, subsampling="4:4:4")
    return file.getvalue()


def _webp(pixels: Pixels, quality: int, method: int) -> bytes:
    file = io.BytesIO()
    image = Image.frombuffer("RGBX", pixels.shape[1::-1], pixels, "raw", "RGBX", 0, 1)
    image.convert("RGB").save(file, "WEBP", quality=quality, method=method)
    return file.getvalue()


def _simplejpeg(quality: int) -> Iterator[tuple[str, str, int, Encode]]:
    try:
        encode: Any = import_module("simplejpeg").encode_jpeg
    except ImportError:
        return
    for chroma, code in (("4:2:0", "420"), ("4:4:4", "444")):
        yield (
            "simplejpeg",
            chroma,
            quality,
            lambda it, c=code: encode(
                it, quality=quality, colorspace="RGBX", colorsubsampling=c, fastdct=False
            ),
        )


def _turbojpeg(quality: int) -> Iterator[tuple[str, str, int, Encode]]:
    try:
        library: Any = import_module("turbojpeg")
        turbo = library.TurboJPEG()
    except (ImportError, RuntimeError, OSError):  # the package, or libturbojpeg itself, is missing
        return
    for chroma, code in (("4:2:0", library.TJSAMP_420), ("4:4:4", library.TJSAMP_444)):
        yield (
            "PyTurboJPEG",
            chroma,
            quality,
            lambda it, c=code: turbo.encode(
                it, quality=quality, pixel_format=library.TJPF_RGBX, jpeg_subsample=c
            ),
        )


def rgbx(image: Image.Image) -> Pixels:
    filled = np.full((image.height, image.width, 4), 255, np.uint8)
    filled[..., :3] = np.asarray(image)
    return filled


def luma(image: Image.Image) -> NDArray[np.float64]:
    return np.asarray(image.convert("L")).astype(np.float64)


def measure(image: Image.Image, encode: Encode, rounds: int) -> dict[str, float]:
    pixels = rgbx(image)
    found = encode(pixels)
    times = []
    for _ in range(rounds):
        began = time.thread_time()
        encode(pixels)
        times.append((time.thread_time() - began) * 1000)
    shown = Image.open(io.BytesIO(found))
    return {
        "ms": round(statistics.median(times), 3),
        "p95_ms": round(percentile(times, 0.95), 3),
        "fastest_ms": round(min(times), 3),
        "bytes": len(found),
        "ssim": round(ssim(luma(image), luma(shown)), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", type=Path, nargs="*", metavar="PICTURE")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--save", metavar="NAME", help="write the line to benchmarks/results/")
    given = parser.parse_args()
    rows = []
    for picture, image in pictures(given.pictures):
        print(f"\n{picture:28}chroma  quality  CPU ms   p95  fastest    bytes    SSIM")
        for name, chroma, quality, encode in encoders():
            row = measure(image, encode, given.rounds)
            rows.append({"picture": picture, "encoder": name, "chroma": chroma,
                         "quality": quality, **row})  # fmt: skip
            print(
                f"{name:28}{chroma:6}  {quality:7}  {row['ms']:6.2f} {row['p95_ms']:5.2f}"
                f"  {row['fastest_ms']:7.2f}  {row['bytes']:7}  {row['ssim']:6.4f}",
                flush=True,
            )
    given.pictures = [file.name for file in given.pictures]
    emit({"benchmark": "encoders", **machine(), "given": vars(given), "rows": rows}, given.save)


if __name__ == "__main__":
    main()
