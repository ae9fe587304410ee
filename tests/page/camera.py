"""A Chromium with a fake camera that plays a file: red at the left, blue at the right."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser

from tests.chromium import launch

RED, BLUE = (220, 30, 30), (30, 30, 220)
PICTURES = 10
KEEP_STREAMS = """
    window.streams = [];
    for (const name of navigator.mediaDevices ? ['getUserMedia', 'getDisplayMedia'] : []) {
        const real = navigator.mediaDevices[name].bind(navigator.mediaDevices);
        navigator.mediaDevices[name] = async (wanted) => {
            const stream = await real(wanted);
            streams.push({wanted, tracks: stream.getTracks()});
            return stream;
        };
    }
"""
TRACKS = "() => streams.map(({tracks}) => tracks.map(({kind, readyState}) => [kind, readyState]))"


def halves(width: int = 640, height: int = 480) -> Image.Image:
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(BLUE, (width // 2, 0, width, height))
    return picture


def as_file(picture: Image.Image, kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


def sides(picture: np.ndarray) -> str:
    """Such as "red blue": the colours at the left and at the right of [H, W, 3]."""
    height, width, _ = picture.shape
    ends = picture[height // 2, width // 8], picture[height // 2, -width // 8]
    return " ".join({0: "red", 1: "green", 2: "blue"}[int(np.argmax(end))] for end in ends)


def write_camera(path: Path) -> None:
    """An .mjpeg file: JPEGs one after another."""
    path.write_bytes(as_file(halves()) * PICTURES)


@contextmanager
def another(browser: Browser, *args: str) -> Iterator[Browser]:
    """Another Chromium like `browser`, with a fake camera and a fake microphone."""
    running = launch(browser.browser_type, "--use-fake-device-for-media-stream", *args)
    yield running
    running.close()
