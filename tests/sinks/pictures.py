"""JPEGs and players for the tests of videos."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from turbostream.stream.frame import Frame
from turbostream.stream.shot import Shot

SHOT = Shot.single("words", 1)


def jpeg(colour: tuple[int, int, int], size: tuple[int, int] = (64, 64)) -> bytes:
    """One colour, with 4:2:0 chroma as the engine's."""
    return _encoded(Image.new("RGB", size, colour))


def noise(side: int, seed: int = 0) -> bytes:
    """A picture that takes an encoder as long as any."""
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)
    return _encoded(Image.fromarray(pixels))


def _encoded(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95, subsampling="4:2:0")
    return file.getvalue()


def frame(number: int, taken: float, picture: bytes) -> Frame:
    return Frame(number, picture, SHOT, 1.0, {}, "test", taken=taken)


def probe(video: Path, *entries: str) -> dict[str, Any]:
    """What ffprobe says of `video`; it may not report an error."""
    command = ["ffprobe", "-v", "error", "-show_entries", *entries, "-of", "json", str(video)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == "", done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def times(video: Path) -> list[float]:
    """The timestamp of each frame in seconds."""
    return [float(packet["pts_time"]) for packet in probe(video, "packet=pts_time")["packets"]]


def decoded(video: Path, size: tuple[int, int]) -> Sequence[np.ndarray[Any, Any]]:
    """[H, W, 3] uint8 RGB of each frame, as ffmpeg shows it."""
    shown = play(video, "-pix_fmt", "rgb24", "-")
    return np.frombuffer(shown, np.uint8).reshape(-1, size[1], size[0], 3)


def play(video: Path, *output: str) -> bytes:
    """What ffmpeg writes to stdout when it decodes every frame of `video` to `output`; fails if it
    complains."""
    command = ["ffmpeg", "-v", "error", "-i", str(video), "-fps_mode", "passthrough"]
    command += ["-enc_time_base", "-1", "-f", "rawvideo", *output]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    assert done.stderr == b"", done.stderr
    return done.stdout
