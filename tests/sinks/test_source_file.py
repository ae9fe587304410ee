"""The file of a recording's input pictures: the same pixels come back, or one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.disks import mounted, needs_mounts
from turbostream.sinks.source_file import Place, SourceFileError, SourceWriter, read


def noise(seed: int, width: int = 48, height: int = 32) -> np.ndarray:
    shape = (height, width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_every_pixel_comes_back(tmp_path: Path) -> None:
    writer = SourceWriter(tmp_path / "show.sources")
    pictures = [noise(1), noise(2, 1, 1), np.zeros((9, 5, 3), np.uint8), noise(3, 256, 144)]
    places = [writer.add(pixels) for pixels in pictures]
    assert writer.size == (tmp_path / "show.sources").stat().st_size == sum(p.size for p in places)
    writer.close()
    for pixels, place in reversed(list(zip(pictures, places, strict=True))):
        assert np.array_equal(read(tmp_path / "show.sources", place), pixels)


def test_an_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "show.sources").write_text("mine")
    with pytest.raises(FileExistsError):
        SourceWriter(tmp_path / "show.sources")


@needs_mounts
def test_on_a_full_disk_the_file_ends_with_a_whole_picture(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=64k") as disk:
        writer = SourceWriter(disk.folder / "show.sources")
        place = writer.add(noise(1))
        assert place.size > 4096
        disk.fill(free_pages=0)
        with pytest.raises(OSError, match="No space left"):
            writer.add(noise(2))
        assert writer.size == place.offset + place.size == writer.path.stat().st_size
        assert read(writer.path, place).shape == (32, 48, 3)


@pytest.mark.parametrize(
    ("content", "place", "sentence"),
    [
        (None, Place(0, 10), "cannot be read \\(No such file"),
        (b"", Place(0, 10), "no picture at byte 0"),
        (b"RIFF" + bytes(100), Place(0, 104), "no picture at byte 0"),
        (b"\xff\xd8\xff\xe0" + bytes(100), Place(4, 100), "no picture at byte 4"),
        (b"x", Place(0, 0), "is not one of this program's"),
        (b"x", Place(0, 10**18), "is not one of this program's"),
        (b"x", Place(10**18, 10), "no picture at byte"),
        (b"x", Place(2**70, 10), "no picture at byte"),
    ],
)
def test_anything_else_is_one_sentence(
    tmp_path: Path, content: bytes | None, place: Place, sentence: str
) -> None:
    path = tmp_path / "show.sources"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceFileError, match=sentence):
        read(path, place)


def test_a_torn_picture_is_refused(tmp_path: Path) -> None:
    writer = SourceWriter(tmp_path / "show.sources")
    place = writer.add(noise(1))
    writer.path.write_bytes(writer.path.read_bytes()[:-40] + bytes(20))
    with pytest.raises(SourceFileError, match="no picture at byte 0"):
        read(writer.path, place)
    writer.path.write_bytes(bytes(place.size))
    with pytest.raises(SourceFileError, match="no picture at byte 0"):
        read(writer.path, place)
