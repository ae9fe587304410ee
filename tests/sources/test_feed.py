"""SOURCE as a picture, a folder and a video: with what is wrong, one sentence and no more."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.sources.conftest import Room
from tests.sources.files import BLUE, GREEN, RED, corners, jpeg, near, saved, video
from tests.stream.running import wait_until
from turbostream.sources import feed

MakeRoom = Callable[..., Room]


def readers() -> list[int]:
    """The processes of videos that this process has started."""
    children = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    found = []
    for child in " ".join(file.read_text() for file in children).split():
        try:
            command = Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:
            continue
        if b"video_process" in command:
            found.append(int(child))
    return found


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


# -- pictures --------------------------------------------------------------------------------------


def test_a_picture_is_the_source_from_the_start(make_room: MakeRoom, tmp_path: Path) -> None:
    file = tmp_path / "a picture"  # known by its content
    file.write_bytes(jpeg(RED))
    room = make_room(source=str(file)).start()
    room.wait_for(RED)
    assert room.channel.scene.source == "picture"
    status = room.sources.status()
    assert (status["kind"], status["from"]) == ("picture", str(file))


def test_a_picture_is_read_once(make_room: MakeRoom, tmp_path: Path) -> None:
    file = tmp_path / "red.jpg"
    file.write_bytes(jpeg(RED))
    room = make_room(source=str(file)).start()
    room.wait_for(RED)
    file.write_bytes(jpeg(BLUE))
    time.sleep(3 * feed.WATCHED_S)
    assert room.shows(RED)
    assert room.sources.status()["received"] == 1


def test_mirror_and_fit_hold_for_source(make_room: MakeRoom, tmp_path: Path) -> None:
    image = Image.new("RGB", (128, 48), GREEN)
    image.paste(RED, (0, 0, 64, 48))
    file = tmp_path / "wide.png"
    file.write_bytes(saved(image, "PNG"))
    room = make_room(source=str(file), source_mirror=True, source_fit="contain").start()
    wait_until(lambda: bool(room.channel.given))
    pixels = room.pixels()
    assert near(pixels[24, 4], GREEN)
    assert near(pixels[24, 60], RED)
    assert (pixels[:10] == 0).all()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"<svg/>", "This is an SVG drawing"),
        (jpeg(RED)[:300], "damaged"),
    ],
)
def test_a_picture_that_is_none_is_one_sentence(
    make_room: MakeRoom, tmp_path: Path, caplog: pytest.LogCaptureFixture,
    content: bytes, sentence: str,
) -> None:  # fmt: skip
    file = tmp_path / "bad.jpg"
    file.write_bytes(content)
    room = make_room(source=str(file)).start()
    message = room.wait_for_message(sentence)
    assert message.startswith(str(file))
    assert warnings(caplog) == [f"[source] {message}"]
    room.sources.put(jpeg(BLUE), "cover", False, 5.0)  # the rest works
    assert room.shows(BLUE)


def test_a_source_that_vanished_after_the_start_is_one_sentence(
    make_room: MakeRoom, tmp_path: Path
) -> None:
    room = make_room(source=str(tmp_path / "gone.jpg")).start()
    room.wait_for_message("SOURCE cannot be used: There is no file or folder")


def test_what_a_browser_gives_comes_first_until_it_is_cleared(
    make_room: MakeRoom, tmp_path: Path
) -> None:
    file = tmp_path / "red.jpg"
    file.write_bytes(jpeg(RED))
    room = make_room(source=str(file)).start()
    room.wait_for(RED)
    room.sources.offer(jpeg(BLUE), "browser")
    room.wait_for(BLUE)
    time.sleep(3 * feed.WATCHED_S)
    assert room.shows(BLUE)
    room.sources.clear()
    room.wait_for(RED)


def test_a_folder_is_shown_in_order_again_and_again(
    make_room: MakeRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "SLIDE_S", 0.3)
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, colour in (("2.JPG", GREEN), ("1.jpg", RED), ("3.jpeg", BLUE)):
        (folder / name).write_bytes(jpeg(colour))
    (folder / "notes.txt").write_text("not a picture")
    (folder / "broken.png").write_bytes(b"broken")
    (folder / "sub.png").mkdir()
    room = make_room(source=str(folder)).start()
    wait_until(lambda: len(room.channel.given) >= 6)
    names = list(dict.fromkeys(room.channel.given[:3]))
    assert len(names) == 3
    assert room.channel.given[:6] == names + names
    for colour in (RED, GREEN, BLUE):
        room.wait_for(colour)


def test_an_empty_folder_waits_for_pictures(
    make_room: MakeRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(feed, "SLIDE_S", 0.05)
    folder = tmp_path / "pictures"
    folder.mkdir()
    room = make_room(source=str(folder)).start()
    room.wait_for_message("has no pictures; put some into it.")
    time.sleep(0.3)
    assert len(warnings(caplog)) == 1
    (folder / "red.jpg").write_bytes(jpeg(RED))
    room.wait_for(RED)
    assert room.sources.status()["message"] == ""


def test_files_that_stay_unreadable_are_one_line_each(
    make_room: MakeRoom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(feed, "SLIDE_S", 0.05)
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "pictures" / name).mkdir(parents=True)  # no file
    room = make_room(source=str(tmp_path / "pictures")).start()
    room.wait_for_message("has no pictures")
    time.sleep(0.3)
    assert len(warnings(caplog)) == 3


# -- videos ----------------------------------------------------------------------------------------


def seen(room: Room, colours: tuple[tuple[int, int, int], ...], seconds: float) -> list[int]:
    """Which of the colours the source was, in order, over so many seconds."""
    found: list[int] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for number, colour in enumerate(colours):
            if room.shows(colour, 30) and found[-1:] != [number]:
                found.append(number)
        time.sleep(0.01)
    return found


def test_a_video_plays_at_its_own_pace_and_again(make_room: MakeRoom, tmp_path: Path) -> None:
    file = video(tmp_path / "two.mp4", "-pix_fmt", "yuv420p")
    room = make_room(source=str(file)).start()
    wait_until(lambda: room.shows(RED, 30) or room.shows(BLUE, 30))
    found = seen(room, (RED, BLUE), 5.0)
    assert 4 <= len(found) <= 7, found  # five seconds, and a second of each
    assert found in ([0, 1, 0, 1, 0, 1, 0][: len(found)], [1, 0, 1, 0, 1, 0, 1][: len(found)])
    assert room.sources.status()["size"] == [128, 96]
    assert len(readers()) == 1
    room.sources.stop(5.0)
    assert readers() == []


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("x.webm", ("-c:v", "libvpx")),
        ("x.mkv", ("-c:v", "ffv1")),
        ("x.avi", ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p")),
        ("x.ts", ("-c:v", "mpeg2video", "-r", "25")),
        ("odd: name % #1.mov", ("-c:v", "libx264", "-pix_fmt", "yuv420p")),
    ],
)
def test_other_kinds_of_videos(
    make_room: MakeRoom, tmp_path: Path, name: str, arguments: tuple[str, ...]
) -> None:
    room = make_room(source=str(video(tmp_path / name, *arguments, colours=(GREEN,)))).start()
    wait_until(lambda: room.shows(GREEN, 30))


def test_a_video_held_upright_is_shown_upright(make_room: MakeRoom, tmp_path: Path) -> None:
    flat = video(tmp_path / "flat.mp4", "-pix_fmt", "yuv420p", "-vf",
                 "drawbox=0:0:64:96:red:fill", colours=(BLUE,))  # fmt: skip
    file = tmp_path / "turned.mp4"
    command = ["ffmpeg", "-v", "error", "-i", str(flat), "-metadata:s:v", "rotate=90"]
    subprocess.run([*command, "-c", "copy", str(file)], check=True, timeout=60)
    expected = tmp_path / "expected.png"
    command = ["ffmpeg", "-v", "error", "-i", str(file), "-frames:v", "1", str(expected)]
    subprocess.run(command, check=True, timeout=60)
    room = make_room(source=str(file)).start()
    wait_until(lambda: bool(room.channel.given))
    assert room.sources.status()["size"] == [96, 128]
    with Image.open(expected) as image:
        shown = image.convert("RGB").resize((64, 85)).crop((0, 18, 64, 66))
    import numpy as np

    for found, wanted in zip(corners(room.pixels()), corners(np.asarray(shown)), strict=True):
        assert near(found, wanted, 40)


def test_wide_pixels_are_shown_wide(make_room: MakeRoom, tmp_path: Path) -> None:
    file = video(tmp_path / "wide.mp4", "-pix_fmt", "yuv420p", "-vf", "setsar=2")
    room = make_room(source=str(file)).start()
    wait_until(lambda: room.sources.status()["size"] == [256, 96])


def test_a_single_picture_of_a_video_is_no_busy_loop(make_room: MakeRoom, tmp_path: Path) -> None:
    file = video(tmp_path / "one.mp4", "-frames:v", "1", "-pix_fmt", "yuv420p", colours=(RED,))
    room = make_room(source=str(file), target_fps=5).start()
    wait_until(lambda: room.shows(RED, 30))
    before = room.sources.status()["received"]
    time.sleep(2.0)
    assert room.sources.status()["received"] - before <= 12


def test_a_video_stands_still_while_nobody_watches(make_room: MakeRoom, tmp_path: Path) -> None:
    room = make_room(source=str(video(tmp_path / "two.mp4", "-pix_fmt", "yuv420p")))
    room.channel.wanted = False
    room.start()
    wait_until(lambda: room.sources.status()["received"] == 1)
    time.sleep(0.5)
    assert room.sources.status()["received"] == 1
    room.channel.wanted = True
    wait_until(lambda: room.sources.status()["received"] > 5)


def without_pictures(folder: Path) -> Path:
    file = folder / "sound.mp4"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=duration=1", str(file)]
    subprocess.run(command, check=True, timeout=60)
    return file


def without_index(folder: Path) -> Path:
    """An MP4 that was never finished: its index comes at the end."""
    whole = video(folder / "whole.mp4", "-pix_fmt", "yuv420p").read_bytes()
    file = folder / "cut.mp4"
    file.write_bytes(whole[: whole.index(b"moov") - 4])
    return file


def a_wrong_index(folder: Path) -> Path:
    whole = bytearray(video(folder / "whole.mp4", "-pix_fmt", "yuv420p").read_bytes())
    place = whole.index(b"stsz") + 16
    whole[place : place + 64] = b"\xff" * 64
    file = folder / "index.mp4"
    file.write_bytes(whole)
    return file


def text(folder: Path) -> Path:
    file = folder / "words.mp4"
    file.write_text("words")
    return file


def a_program(folder: Path) -> Path:
    file = folder / "program"
    shutil.copy("/bin/sh", file)
    return file


def other_files(folder: Path) -> Path:
    """A playlist that names what only others should be able to read."""
    file = folder / "list.m3u8"
    file.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/x.ts\n#EXT-X-ENDLIST\n")
    return file


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (without_pictures, "has no pictures."),
        (without_index, "is damaged or not a picture or a video that can be read."),
        (a_wrong_index, ""),
        (text, "is damaged or not a picture or a video that can be read."),
        (a_program, "is damaged or not a picture or a video that can be read."),
        (other_files, ""),
    ],
)
def test_a_video_that_cannot_be_played_is_one_sentence(
    make_room: MakeRoom, tmp_path: Path, caplog: pytest.LogCaptureFixture,
    make: Callable[[Path], Path], sentence: str,
) -> None:  # fmt: skip
    file = make(tmp_path)
    room = make_room(source=str(file)).start()
    wait_until(lambda: bool(room.sources.status()["message"]))
    message = room.sources.status()["message"]
    assert message.startswith(str(file)), message
    assert sentence in message
    assert message.endswith(".")
    assert warnings(caplog) == [f"[source] {message}"]
    wait_until(lambda: "source" not in {thread.name for thread in threading.enumerate()})
    assert readers() == []


def test_a_video_with_a_damaged_place_plays_on(make_room: MakeRoom, tmp_path: Path) -> None:
    whole = bytearray(video(tmp_path / "whole.ts", "-g", "5").read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 400] = os.urandom(400)
    file = tmp_path / "damaged.ts"
    file.write_bytes(whole)
    room = make_room(source=str(file)).start()
    wait_until(lambda: room.shows(RED, 30))
    wait_until(lambda: room.shows(BLUE, 30))


def test_a_cut_video_plays_up_to_the_cut(make_room: MakeRoom, tmp_path: Path) -> None:
    whole = video(tmp_path / "whole.ts").read_bytes()
    file = tmp_path / "cut.ts"
    file.write_bytes(whole[: len(whole) * 2 // 3])
    room = make_room(source=str(file)).start()
    wait_until(lambda: room.shows(RED, 30))


def test_a_reader_that_is_killed_is_one_sentence(make_room: MakeRoom, tmp_path: Path) -> None:
    room = make_room(source=str(video(tmp_path / "two.mp4", "-pix_fmt", "yuv420p"))).start()
    wait_until(lambda: room.sources.status()["received"] > 2)
    (reader,) = readers()
    os.kill(reader, 11)
    message = room.wait_for_message("failed by an error of the program")
    assert message.startswith(str(tmp_path))
    assert readers() == []
    room.sources.put(jpeg(GREEN), "cover", False, 5.0)
    assert room.shows(GREEN)
