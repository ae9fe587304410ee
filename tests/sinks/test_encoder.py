"""The encoder keeps the times, the colours and the size of the pictures."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import av
import numpy as np
import pytest

from tests.sinks.pictures import decoded, jpeg, noise, probe, times
from turbostream.sinks.encoder import TICKS, Encoder, PictureError, size_of

RED, GREEN, BLUE = (200, 40, 90), (30, 180, 60), (20, 60, 220)


def test_every_frame_is_at_its_own_time(tmp_path: Path) -> None:
    file, wanted, at = tmp_path / "video.mp4", [], 0.0
    chance = random.Random(1)
    with av.open(str(file), "w") as container:
        encoder = Encoder(container, (64, 64))
        for _ in range(100):
            wanted.append(at)
            encoder.add(jpeg(RED), at)
            at += chance.uniform(0.001, 0.2)
        encoder.finish()
    assert len(times(file)) == 100
    assert np.abs(np.subtract(times(file), wanted)).max() <= 1 / TICKS


def test_times_that_stand_still_or_go_back_become_the_next_tick(tmp_path: Path) -> None:
    file = tmp_path / "video.mp4"
    with av.open(str(file), "w") as container:
        encoder = Encoder(container, (64, 64))
        for at in (0.0, 1.0, 1.0, 0.5, -3.0, 2.0):
            encoder.add(jpeg(RED), at)
        encoder.finish()
    ticks = [round(time * TICKS) for time in times(file)]
    assert ticks == [0, TICKS, TICKS + 1, TICKS + 2, TICKS + 3, 2 * TICKS]


@pytest.mark.parametrize("colour", [RED, GREEN, BLUE, (0, 0, 0), (255, 255, 255)])
def test_the_colours_are_those_of_the_picture(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    file = tmp_path / "video.mp4"
    with av.open(str(file), "w") as container:
        encoder = Encoder(container, (64, 64))
        encoder.add(jpeg(colour), 0.0)
        encoder.finish()
    found = decoded(file, (64, 64))[0].reshape(-1, 3).mean(0)
    assert np.abs(found - colour).max() < 7, "BT.601 or full range shown as it is differs by 15"
    stream = probe(file, "stream=color_range,color_space,color_transfer,color_primaries,pix_fmt")
    assert stream["streams"] == [
        {
            "pix_fmt": "yuv420p",
            "color_range": "tv",
            "color_space": "bt709",
            "color_transfer": "bt709",
            "color_primaries": "bt709",
        }
    ]


@pytest.mark.parametrize("size", [(63, 64), (64, 63), (65, 33)])
def test_an_odd_side_is_padded_by_one_pixel(tmp_path: Path, size: tuple[int, int]) -> None:
    file = tmp_path / "video.mp4"
    with av.open(str(file), "w") as container:
        encoder = Encoder(container, size)
        encoder.add(jpeg(GREEN, size), 0.0)
        encoder.finish()
    padded = tuple(side + side % 2 for side in size)
    found = decoded(file, padded)[0]
    assert np.abs(found.astype(int) - GREEN).max() < 8, "the padding repeats the edge"


@pytest.mark.parametrize("bad", [b"", b"no picture", jpeg(RED)[:40]])
def test_a_picture_that_cannot_be_decoded_is_refused_and_the_next_one_is_not(
    tmp_path: Path, bad: bytes
) -> None:
    with av.open(str(tmp_path / "video.mp4"), "w") as container:
        encoder = Encoder(container, (64, 64))
        encoder.add(jpeg(RED), 0.0)
        with pytest.raises(PictureError, match="not a JPEG"):
            encoder.add(bad, 0.1)
        encoder.add(jpeg(RED), 0.2)
        encoder.finish()
    assert times(tmp_path / "video.mp4") == [0.0, 0.2]
    with pytest.raises(PictureError):
        size_of(bad)


def test_a_picture_of_another_size_is_refused_with_both_sizes(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "video.mp4"), "w") as container:
        encoder = Encoder(container, size_of(jpeg(RED, (80, 64))))
        encoder.add(jpeg(RED, (80, 64)), 0.0)
        with pytest.raises(PictureError, match="from 80x64 to 64x64"):
            encoder.add(jpeg(RED), 0.1)
        encoder.finish()


def test_a_keyframe_comes_at_least_every_two_seconds_at_any_rate(tmp_path: Path) -> None:
    for fps in (0.3, 3, 50):
        file = tmp_path / f"{fps}.mp4"
        with av.open(str(file), "w") as container:
            encoder = Encoder(container, (64, 64))
            for number in range(max(12, int(6 * fps))):
                encoder.add(jpeg(RED), number / fps)
            encoder.finish()
        packets = probe(file, "packet=pts_time,flags")["packets"]
        keys = [float(one["pts_time"]) for one in packets if "K" in one["flags"]]
        assert max(np.diff(keys)) <= 2 + 1 / fps


def test_a_bit_rate_is_kept_and_no_thread_is_started(tmp_path: Path) -> None:
    threads = threading.active_count()
    with av.open(str(tmp_path / "video.mp4"), "w") as container:
        options = {"preset": "veryfast", "b": "1500000", "maxrate": "1500000", "bufsize": "750000"}
        encoder = Encoder(container, (128, 128), options)
        sizes = [encoder.add(noise(128, seed), seed / 30) for seed in range(90)]
        assert threading.active_count() == threads
        encoder.finish()
    assert 0.7 < sum(sizes[30:]) * 8 / 2 / 1_500_000 < 1.3
