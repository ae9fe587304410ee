"""Pictures that do not become much smaller at once."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from benchmarks.servers import jpeg_of
from tests.web.live.test_multipart import frame
from turbostream.web.live.multipart import PartCache
from turbostream.web.live.padding import HALF_S, SHARE, Padding, filler


@pytest.mark.parametrize("size", [-5, 0, 3, 4, 100, 65_537, 65_538, 65_541, 200_000])
def test_filler_is_whole_segments(size: int) -> None:
    found = filler(size)
    assert max(0, size) - 4 < len(found) <= max(0, size)
    place = 0
    while place < len(found):
        assert found[place : place + 2] == b"\xff\xfe"
        place += 2 + int.from_bytes(found[place + 2 : place + 4], "big")
    assert place == len(found)


def test_a_small_picture_after_a_large_one_is_padded_less_and_less() -> None:
    padding, large, small = Padding(), jpeg_of(60_000), jpeg_of(700)
    assert padding.padded(large, 100.0) == large
    for halves in range(6):
        size = len(padding.padded(small, 100.0 + halves * HALF_S))
        assert size == pytest.approx(SHARE * 60_000 / 2**halves, abs=4)
    assert padding.padded(small, 100.0 + 7 * HALF_S) == small
    assert padding.padded(large, 100.0 + 8 * HALF_S) == large


def test_a_clock_that_jumps_does_no_harm() -> None:
    padding, large, small = Padding(), jpeg_of(60_000), jpeg_of(700)
    padding.padded(large, 5000.0)
    assert len(padding.padded(small, 1000.0)) == pytest.approx(SHARE * 60_000, abs=4)
    assert padding.padded(small, 9e9) == small


def test_a_padded_picture_is_the_same_picture() -> None:
    def pixels(data: bytes) -> bytes:
        with Image.open(io.BytesIO(data)) as image:
            return image.convert("RGB").tobytes()

    padding, small = Padding(), jpeg_of(2000)
    padding.padded(jpeg_of(90_000), 0.0)
    assert pixels(padding.padded(small, 0.1)) == pixels(small)


def test_only_who_needs_it_gets_padding_and_all_share_one_part() -> None:
    cache = PartCache()
    large, small = frame(1, b"x" * 50_000), frame(2)
    assert cache(large, padded=True) == cache(large)
    assert len(cache(small)) < 300
    assert len(cache(small, padded=True)) > 30_000
    assert cache(small, padded=True) is cache(small, padded=True)
    assert len(cache(small, with_recipe=True)) < 1000
    assert len(cache(small, with_recipe=True, padded=True)) > 30_000
