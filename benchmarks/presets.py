"""Presets of x264 compared on the same pictures; for benchmarks/recording.py --presets."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from turbostream.sinks.encoder import Encoder, size_of

PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "medium")
CRF = "20"
FPS = 30
BLOCK = 8  # pixels, of SSIM's windows
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2  # Wang et al. 2004, section III.B


def compare(jpegs: Sequence[bytes]) -> list[dict[str, Any]]:
    """CPU time per picture with its decoding and conversion, bytes and quality of each preset."""
    rows = []
    print("preset     CPU ms/frame  kB/s  PSNR dB    SSIM")
    original = luma(encoded(jpegs, {"preset": "ultrafast", "qp": "0"})[0])
    for preset in PRESETS:
        encoded(jpegs[:10], {"preset": preset, "crf": CRF})
        video, cpu_ms = encoded(jpegs, {"preset": preset, "crf": CRF})
        decoded = luma(video)
        row = {
            "preset": preset,
            "cpu_ms_per_frame": round(cpu_ms, 2),
            "bytes_per_second": round(len(video) / len(jpegs) * FPS),
            "psnr_db": round(10 * np.log10(255**2 / ((original - decoded) ** 2).mean()), 2),
            "ssim": round(float(np.mean([*map(ssim, original, decoded)])), 4),
        }
        rows.append(row)
        print(
            f"{preset:9s}  {row['cpu_ms_per_frame']:12.2f}  {row['bytes_per_second'] / 1000:4.0f}"
            f"  {row['psnr_db']:7.2f}  {row['ssim']:6.4f}",
            flush=True,
        )
    return rows


def encoded(jpegs: Sequence[bytes], options: dict[str, str]) -> tuple[bytes, float]:
    """(the video, CPU ms per picture)."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        encoder = Encoder(container, size_of(jpegs[0]), options)
        began = time.process_time()
        for number, jpeg in enumerate(jpegs):
            encoder.add(jpeg, number / FPS)
        encoder.finish()
        cpu_s = time.process_time() - began
    return file.getvalue(), cpu_s * 1000 / len(jpegs)


def luma(video: bytes) -> NDArray[np.float64]:
    """[N, H, W], 0 to 255."""
    with av.open(io.BytesIO(video)) as container:
        frames = [frame.to_ndarray()[: frame.height] for frame in container.decode(video=0)]
    return np.stack(frames).astype(np.float64)


def ssim(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Of two pictures [H, W], over windows that do not overlap."""
    a, b = _blocks(one), _blocks(other)
    means, others = a.mean(1), b.mean(1)
    covariance = ((a - means[:, None]) * (b - others[:, None])).mean(1)
    top = (2 * means * others + C1) * (2 * covariance + C2)
    return float((top / ((means**2 + others**2 + C1) * (a.var(1) + b.var(1) + C2))).mean())


def _blocks(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """[windows, BLOCK * BLOCK]"""
    high, wide = (side // BLOCK for side in picture.shape)
    cut = picture[: high * BLOCK, : wide * BLOCK]
    return cut.reshape(high, BLOCK, wide, BLOCK).swapaxes(1, 2).reshape(-1, BLOCK * BLOCK)
