"""Earlier frames as sources, and what is done to them."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from PIL import Image

from tests.sources.conftest import SIZE, Room
from tests.sources.files import BLUE, RED, SQUARES, corners, near, quarters, saved
from turbostream.sources.earlier import transformed
from turbostream.stream.frame import KEPT
from turbostream.stream.shot import EarlierFrame, ShotError

WIDTH, HEIGHT = 128, 96


def result(image: Image.Image, **changes: float) -> np.ndarray:
    data = saved(image, "JPEG", quality=98, subsampling="4:4:4")
    return transformed(data, EarlierFrame(1, **changes), WIDTH, HEIGHT)


def dot(x: float, y: float) -> Image.Image:
    """A white disc of 8 pixels on black."""
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    levels = (np.hypot(across - x, down - y) < 4).astype(np.uint8) * 255
    return Image.fromarray(np.stack([levels] * 3, -1))


def centre(pixels: np.ndarray) -> tuple[float, float]:
    levels = pixels.mean(-1) * (pixels.mean(-1) > 60)
    down, across = np.mgrid[0 : pixels.shape[0], 0 : pixels.shape[1]] + 0.5
    return (across * levels).sum() / levels.sum(), (down * levels).sum() / levels.sum()


def test_the_newest_frames_are_kept_by_number(room: Room) -> None:
    numbers = [room.channel.show(colour) for colour in [RED, BLUE] * KEPT]
    pixels = room.sources.resolve(EarlierFrame(numbers[-1]), *SIZE)
    assert near(pixels[0, 0], BLUE)
    assert near(room.sources.resolve(EarlierFrame(numbers[-2]), *SIZE)[0, 0], RED)
    room.sources.resolve(EarlierFrame(numbers[-KEPT]), *SIZE)
    for number in (numbers[-KEPT - 1], numbers[-1] + 1):
        with pytest.raises(ShotError, match=f"^Frame {number} is not one of the newest {KEPT}"):
            room.sources.resolve(EarlierFrame(number), *SIZE)


def test_without_a_change_it_is_the_frame_itself() -> None:
    data = saved(quarters((WIDTH, HEIGHT)), "JPEG")
    import io

    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert (transformed(data, EarlierFrame(1), WIDTH, HEIGHT) == pixels).all()
    assert transformed(data, EarlierFrame(1), 64, 64).shape == (64, 64, 3)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"zoom": 2.0}, (64 + 2 * 20, 48 + 2 * 10)),
        ({"zoom": 0.5}, (64 + 20 / 2, 48 + 10 / 2)),
        ({"zoom": 0.8}, (64 + 20 * 0.8, 48 + 10 * 0.8)),
        ({"rotation": 90.0}, (64 - 10, 48 + 20)),  # clockwise: right becomes below
        ({"rotation": -90.0}, (64 + 10, 48 - 20)),
        ({"shift_x": 0.1}, (64 + 20 + 12.8, 48 + 10)),
        ({"shift_y": -0.25}, (64 + 20, 48 + 10 - 24)),
        ({"zoom": 1.5, "rotation": 90.0, "shift_x": 0.1}, (64 - 15 + 12.8, 48 + 30)),
    ],
)
def test_a_point_goes_where_it_should(
    changes: dict[str, float], expected: tuple[float, float]
) -> None:
    pixels = result(dot(64 + 20, 48 + 10), **changes)
    # Reflected discs may appear at the edges; the one that is meant is looked at alone.
    x, y = expected
    left, top = max(0, math.floor(x) - 12), max(0, math.floor(y) - 12)
    near_it = pixels[top : top + 24, left : left + 24]
    found = centre(near_it)
    assert abs(found[0] + left - x) < 0.7
    assert abs(found[1] + top - y) < 0.7


@pytest.mark.parametrize(
    "changes",
    [
        {"zoom": 0.1}, {"zoom": 0.69}, {"zoom": 0.95}, {"zoom": 10.0}, {"rotation": 33.0},
        {"rotation": 360.0}, {"shift_x": 1.0, "shift_y": -1.0},
        {"zoom": 0.1, "rotation": 45.0, "shift_x": -1.0, "shift_y": 1.0},
        {"zoom": 0.75, "rotation": -180.0, "shift_x": 1.0},
    ],
)  # fmt: skip
def test_nothing_black_comes_in_from_beyond_the_edges(changes: dict[str, float]) -> None:
    pixels = result(Image.new("RGB", (WIDTH, HEIGHT), (200, 200, 200)), **changes)
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    assert pixels.min() >= 195


def test_beyond_the_edge_the_picture_is_reflected() -> None:
    pixels = result(quarters((WIDTH, HEIGHT)), shift_x=0.5)
    upper_left = SQUARES[0]  # moved to the upper right, with its reflection beside it
    assert near(corners(pixels)[1], upper_left)
    assert near(corners(pixels)[0], upper_left)


def test_it_is_the_same_pixels_each_time() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    first, second = (result(Image.fromarray(noise), zoom=1.03, rotation=1.0) for _ in range(2))
    assert (first == second).all()


def test_the_largest_size_takes_limited_memory_and_time() -> None:
    data = saved(Image.new("RGB", (2048, 2048), RED), "JPEG")
    source = EarlierFrame(1, zoom=0.7, rotation=45.0, shift_x=1.0, shift_y=1.0)
    began = time.monotonic()
    assert transformed(data, source, 2048, 2048).shape == (2048, 2048, 3)
    assert time.monotonic() - began < 20
