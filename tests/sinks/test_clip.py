"""Clips of the last seconds: their times, their limits, and what other programs see in them."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import pytest
from PIL import Image

from tests.sinks.pictures import decoded, frame, jpeg, probe, times
from turbostream.sinks.clip import WEBP_FPS, WEBP_SIDE, Clips
from turbostream.stream.channel import Channel
from turbostream.stream.recording import LONGEST_CLIP_S, RecordingConflict
from turbostream.stream.scene import Scene

RED, BLUE = (220, 30, 30), (30, 30, 220)
BEGAN = 1000.0  # on the channel's clock
UNEVEN = [0.0, 0.1, 0.24, 0.31, 1.0, 1.1]


class Shown:
    """A channel that shows what the test publishes, and its clips."""

    def __init__(self, **options: int) -> None:
        self.channel = Channel("main", Scene.single("words"))
        self.clips = Clips(self.channel, **options)
        self._number = 0

    def show(self, at: Iterable[float], picture: bytes) -> None:
        for time in at:
            self._number += 1
            assert self.channel.buffer.publish(frame(self._number, BEGAN + time, picture))


@pytest.fixture
def shown() -> Shown:
    return Shown()


def video(clips: Clips, folder: Path, seconds: float = 10.0) -> Path:
    file = folder / "clip.mp4"
    file.write_bytes(clips(seconds, "mp4"))
    return file


def durations(webp: bytes) -> list[int]:
    """How long each picture is shown, in ms."""
    found = []
    with Image.open(io.BytesIO(webp)) as animation:
        for number in range(animation.n_frames):
            animation.seek(number)
            animation.load()
            found.append(animation.info["duration"])
    return found


def test_a_video_shows_each_picture_at_its_time(shown: Shown, tmp_path: Path) -> None:
    shown.show(UNEVEN[:3], jpeg(RED))
    shown.show(UNEVEN[3:], jpeg(BLUE))
    found = video(shown.clips, tmp_path)
    assert times(found) == pytest.approx(UNEVEN, abs=0.001)
    pictures = decoded(found, (64, 64))
    assert [picture[30, 30] for picture in pictures] == [
        pytest.approx(colour, abs=6) for colour in [RED] * 3 + [BLUE] * 3
    ]
    assert probe(found, "stream=codec_name")["streams"] == [{"codec_name": "h264"}]


def test_a_webp_shows_each_picture_for_its_time_and_repeats(shown: Shown) -> None:
    for number, time in enumerate(UNEVEN):  # equal pictures would be one
        shown.show([time], jpeg((40 * number, 0, 0)))
    webp = shown.clips(10, "webp")
    assert durations(webp)[:-1] == [100, 140, 70, 690, 100]
    with Image.open(io.BytesIO(webp)) as animation:
        assert animation.info["loop"] == 0
        animation.seek(3)
        assert animation.convert("RGB").getpixel((30, 30)) == pytest.approx((120, 0, 0), abs=8)


def test_a_webp_is_small_enough_to_be_sent(shown: Shown) -> None:
    for number in range(60):
        shown.show([number / 30], jpeg((4 * number, 0, 0), (1024, 512)))
    webp = shown.clips(10, "webp")
    with Image.open(io.BytesIO(webp)) as animation:
        assert animation.size == (WEBP_SIDE, WEBP_SIDE // 2)
    assert len(durations(webp)) == 2 * WEBP_FPS
    assert sum(durations(webp)) == pytest.approx(2000, abs=100)


def test_the_clip_has_the_seconds_that_were_asked_for(shown: Shown, tmp_path: Path) -> None:
    shown.show((number / 10 for number in range(200)), jpeg(RED))
    assert times(video(shown.clips, tmp_path, 3))[-1] == pytest.approx(3, abs=0.001)
    assert times(video(shown.clips, tmp_path, 10))[-1] == pytest.approx(10, abs=0.001)


def test_the_ring_ends_at_the_longest_clip(shown: Shown, tmp_path: Path) -> None:
    shown.show((number / 10 for number in range(400)), jpeg(RED))
    found = times(video(shown.clips, tmp_path, 1e9))
    assert found[-1] == pytest.approx(LONGEST_CLIP_S, abs=0.001)


def test_the_ring_is_bounded_in_bytes(tmp_path: Path) -> None:
    shown = Shown(most_bytes=10 * len(jpeg(RED)))
    shown.show((number / 10 for number in range(100)), jpeg(RED))
    assert len(times(video(shown.clips, tmp_path))) == 10


def test_pictures_larger_than_the_ring_leave_the_newest(tmp_path: Path) -> None:
    shown = Shown(most_bytes=1)
    shown.show([0, 1, 2], jpeg(RED))
    assert len(times(video(shown.clips, tmp_path))) == 1


def test_a_fast_stream_gives_no_more_frames_than_a_clip_needs(shown: Shown, tmp_path: Path) -> None:
    shown.show((number / 264 for number in range(528)), jpeg(RED))
    assert 100 < len(times(video(shown.clips, tmp_path))) <= 2 * 67


def test_a_stream_at_the_rate_of_the_ring_is_kept_whole(shown: Shown, tmp_path: Path) -> None:
    shown.show((number / 60 + 0.001 * (number % 2) for number in range(60)), jpeg(RED))
    assert len(times(video(shown.clips, tmp_path))) == 60


def test_a_change_of_size_begins_the_clip(shown: Shown, tmp_path: Path) -> None:
    shown.show([0, 1, 2], jpeg(RED))
    shown.show([3, 4], jpeg(BLUE, (32, 48)))
    found = video(shown.clips, tmp_path)
    assert times(found) == pytest.approx([0, 1], abs=0.001)
    assert decoded(found, (32, 48))[0][20, 20] == pytest.approx(BLUE, abs=6)
    assert len(durations(shown.clips(10, "webp"))) <= 2


@pytest.mark.parametrize("form", ["mp4", "webp"])
def test_one_picture_is_a_clip(shown: Shown, form: str, tmp_path: Path) -> None:
    shown.show([0], jpeg(RED))
    file = tmp_path / f"clip.{form}"
    file.write_bytes(shown.clips(10, form))
    assert decoded(file, (64, 64))[0][30, 30] == pytest.approx(RED, abs=8)


def test_without_a_frame_it_is_one_sentence(shown: Shown) -> None:
    with pytest.raises(RecordingConflict, match="No frame has been shown yet"):
        shown.clips(10, "mp4")
