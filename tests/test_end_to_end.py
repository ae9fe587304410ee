"""The whole program as a user meets it: started, watched, told what to paint, ended."""

from __future__ import annotations

import errno
import io
import json
import re
import shlex
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from PIL import Image

from tests.robustness.raw import eventually
from tests.server import Server, once_below
from tests.web.reader import Part, read_parts

FRAMES = 100
README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as running:
        yield running.wait_until_healthy()


def parts(server: Server) -> Iterator[Part]:
    """What a new viewer gets."""
    with urllib.request.urlopen(server.address + "/stream", timeout=30) as answer:
        boundary = answer.headers.get_param("boundary")
        yield from read_parts(iter(lambda: answer.read1(65536), b""), boundary)


def watch(server: Server, count: int) -> list[Part]:
    """The first `count` parts that a new viewer gets."""
    with closing(parts(server)) as found:
        return list(islice(found, count))


@contextmanager
def watching(server: Server) -> Iterator[list[Part]]:
    """The parts that a viewer gets meanwhile; the list grows."""
    seen: list[Part] = []
    over = threading.Event()

    def run() -> None:
        with closing(parts(server)) as found:
            while not over.is_set():
                seen.append(next(found))

    thread = threading.Thread(target=run, name="viewer")
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def shown_after(server: Server, words: str, seen: list[Part], count: int) -> int:
    """The number after which frames show the new words; returns when `count` of them came."""
    after = int(json.loads(server.request("/prompt", {"prompt": words})[1])["frame"])
    eventually(lambda: sum(found.number > after for found in list(seen)) >= count)
    return after


def colour(jpeg: bytes) -> np.ndarray:
    """The median colour, [3], of a picture's border, where its ground shows."""
    pixels = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(int)
    edge = np.concatenate([pixels[:12].reshape(-1, 3), pixels[-12:].reshape(-1, 3)])
    return np.median(edge, axis=0)


def test_the_guides_log_lines_come_in_order_each_at_its_time(server: Server) -> None:
    watch(server, 3)
    server.request("/prompt", {"prompt": "a red ground"})
    expected = [
        f"[flask] running on 127.0.0.1:{server.port}",
        "[init] model loaded and compiled",
        "[gen] starting loop...",
        "[stream] Client connected.",
        "[prompt] Request received",
        '[prompt] Raw data received: b\'{"prompt": "a red ground"}\'',
        "[prompt] => Successfully set to: a red ground",
    ]
    eventually(lambda: all(line in server.log for line in expected))
    places = [server.log.index(line) for line in expected]
    assert places == sorted(places), server.log


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1"])
def test_curl_reads_a_hundred_frames(server: Server, version: str) -> None:
    curl = subprocess.Popen(
        ["curl", "--silent", "--no-buffer", version, "--include", server.address + "/stream"],
        stdout=subprocess.PIPE,
    )
    assert curl.stdout is not None
    with curl.stdout as stream:
        head = b""
        while b"\r\n\r\n" not in head:
            head += stream.read(1)
        assert b"200 OK" in head
        assert b"chunked" not in head.lower()
        boundary = head.lower().partition(b"boundary=")[2].partition(b"\r\n")[0].decode()
        numbers = []
        for found in read_parts(iter(lambda: stream.read(4096), b""), boundary):
            numbers.append(found.number)
            if len(numbers) == FRAMES:
                break
    curl.kill()
    curl.wait()
    assert numbers == sorted(numbers)


def test_ffmpeg_reads_a_hundred_frames(server: Server) -> None:
    done = subprocess.run(
        ["ffmpeg", "-nostdin", "-loglevel", "error", "-f", "mpjpeg", "-i",
         server.address + "/stream", "-frames:v", str(FRAMES), "-f", "framemd5", "-"],
        capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    frames = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    assert len(frames) == FRAMES, done.stderr


def test_the_readmes_recording_lasts_as_long_as_the_stream_was_watched(
    server: Server, tmp_path: Path
) -> None:
    found = re.search(r"`(ffmpeg [^`]*-c copy [^`]*)`", README.read_text(encoding="utf-8"))
    assert found
    file = tmp_path / "stream.mkv"
    *words, written = shlex.split(found[1])
    address = words.index("http://localhost:8000/stream")
    words[address] = server.address + "/stream?fps=8"
    begun = time.monotonic()
    record = [*words, "-nostdin", "-loglevel", "error", "-frames:v", "40", str(file)]
    subprocess.run(record, timeout=250, check=True)
    took_s = time.monotonic() - begun
    assert written == file.name
    ask = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", file]
    lasts_s = float(subprocess.run(ask, capture_output=True, text=True, check=True).stdout)
    assert 0.6 * took_s < lasts_s < 1.1 * took_s  # at 25 frames a second it would be 1.6 s


def test_mpv_reads_a_hundred_frames(server: Server) -> None:
    done = subprocess.run(
        ["mpv", "--no-config", "--vo=null", "--ao=null", "--untimed", f"--frames={FRAMES}",
         server.address + "/stream"],
        capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_opencv_reads_a_hundred_frames(server: Server) -> None:
    capture = cv2.VideoCapture(server.address + "/stream")
    try:
        for _ in range(FRAMES):
            taken, picture = capture.read()
            assert taken
            assert picture.shape[2] == 3
    finally:
        capture.release()


def test_words_show_in_every_frame_after_the_stated_time_and_none_goes_back(
    server: Server,
) -> None:
    colours = {"a red background": (1, 0, 0), "a blue background": (0, 0, 1)}
    with watching(server) as seen:
        for words in [*colours] * 10:  # enough changes for a p95 that means something
            shown_after(server, words, seen, 3)
    p95_s = server.status()["prompt_to_picture_ms"]["p95"] / 1000

    def first_picture_s() -> float:
        """Seconds from new words to their first picture; each shows what its number says."""
        server.request("/prompt", {"prompt": "a red background"})
        with watching(server) as seen:
            eventually(lambda: len(seen) > 15)
            posted = time.time()
            after = shown_after(server, "a blue background", seen, 15)
        pictures = [found for found in seen if found.number]  # 0: a placeholder, on a slow machine
        assert [found.number for found in pictures] == sorted(found.number for found in pictures)
        for found in pictures:
            red, _, blue = colour(found.jpeg)
            assert (blue > red) == (found.number > after)
        return next(found.timestamp for found in pictures if found.number > after) - posted

    once_below(p95_s + 0.05, first_picture_s)


def test_without_a_viewer_it_rests_and_a_new_one_has_a_picture_within_300_ms(
    server: Server,
) -> None:
    process = psutil.Process(server.process.pid)
    frame_s = sum(server.status()["stage_ms"].values()) / 1000
    eventually(lambda: server.status()["state"] == "resting")
    time.sleep(5.0)
    before, start = sum(process.cpu_times()[:2]), time.monotonic()
    time.sleep(5.0)
    used = (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - start)
    assert used < 0.03, f"{used:.1%} of a core at rest"

    def first_picture_s() -> float:
        eventually(lambda: server.status()["state"] == "resting")
        opened = time.monotonic()
        with closing(parts(server)) as found:
            next(part for part in found if part.number)  # 0: a placeholder
            return time.monotonic() - opened

    once_below(max(0.3, 2 * frame_s), first_picture_s, attempts=5)


def test_the_second_server_on_a_port_names_it_and_ends_with_2(server: Server) -> None:
    with Server(port=server.port) as second:
        assert second.wait() == 2
        assert str(server.port) in second.log
        assert second.log.count("\n") == 0


def test_the_same_shot_is_the_same_picture_across_a_held_second(server: Server) -> None:
    server.request("/scene", {"motion": "hold"}, method="PATCH")
    pictures = {found.jpeg for found in watch(server, 30)[5:]}
    server.request("/scene", {"motion": "walk"}, method="PATCH")
    assert len(pictures) == 1


def test_a_preview_is_the_picture_that_the_change_then_shows(server: Server) -> None:
    def pixels(jpeg: bytes) -> bytes:
        return Image.open(io.BytesIO(jpeg)).convert("RGB").tobytes()

    held = {"prompt": "a blue ring", "motion": "hold", "seed": 5}
    status, previewed = server.request("/preview", held)
    assert status == 200
    before = server.request("/snapshot.jpg")[1]
    server.request("/scene", held, method="PATCH")
    after = server.request("/snapshot.jpg")[1]
    server.request("/scene", {"motion": "walk"}, method="PATCH")
    assert pixels(previewed) == pixels(after) != pixels(before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_ten_viewers_within_three_seconds_with_status_0(number: int) -> None:
    def attempt() -> float:
        with Server() as server, ExitStack() as viewers:
            server.wait_until_healthy()
            for _ in range(10):
                viewer = socket.create_connection(("127.0.0.1", server.port), timeout=30)
                viewers.enter_context(viewer)
                viewer.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert viewer.recv(1000)
            took = server.ending_s(number)
            assert "Traceback" not in server.log
            with pytest.raises(OSError, match=str(errno.ECONNREFUSED)):
                socket.create_connection(("127.0.0.1", server.port))
            return took

    once_below(3.0, attempt)


def test_a_signal_while_the_model_loads_ends_it_too() -> None:
    def attempt() -> float:
        with Server() as server:
            eventually(lambda: "[flask] running on" in server.log)
            time.sleep(0.5)
            return server.ending_s()

    once_below(3.0, attempt)
