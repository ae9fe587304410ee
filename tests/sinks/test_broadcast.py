"""Broadcasts to a real RTMP server, an SRT listener and an HLS folder, and to servers that fail."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.ports import free_port
from tests.server import once_below
from tests.sinks.pictures import frame, jpeg
from tests.sinks.rtmp_server import (
    KEY,
    MODULE,
    RtmpServer,
    Silent,
    probed,
    pushers,
    read_back,
)
from tests.stream.running import wait_until
from turbostream.settings import Settings
from turbostream.sinks.broadcast import Broadcaster
from turbostream.stream.channel import Channel
from turbostream.stream.push_address import PushAddressError
from turbostream.stream.recording import RecordingError
from turbostream.stream.scene import Scene

FPS = 30
SIZE = (128, 96)
RED, BLUE = (jpeg(colour, SIZE) for colour in ((200, 30, 30), (30, 30, 200)))
needs_rtmp = pytest.mark.skipif(not MODULE.exists(), reason="needs libnginx-mod-rtmp")


class Show:
    """A channel that is given `picture` at FPS frames a second while it is wanted and not `silent`,
    and its broadcaster. slowest_s: the longest that a frame was delayed by the listeners."""

    def __init__(self, settings: Settings) -> None:
        self.channel = Channel("main", Scene.single("words"))
        self.broadcaster = Broadcaster(self.channel, settings)
        self.picture, self.silent, self.slowest_s = RED, False, 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="show")
        self._thread.start()

    def _run(self) -> None:
        number = 0
        began = time.monotonic()
        while not self._ended.wait(max(0.0, began + number / FPS - time.monotonic())):
            number += 1
            if self.channel.wanted and not self.silent:
                before = time.monotonic()
                self.channel.buffer.publish(frame(number, before, self.picture))
                self.slowest_s = max(self.slowest_s, time.monotonic() - before)

    def close(self) -> None:
        assert not self.broadcaster.stop()["on"]
        self._ended.set()
        self._thread.join()
        assert not self.channel.wanted
        assert not [one for one in threading.enumerate() if "broadcast" in one.name]
        assert pushers() == {}

    def wait_until_connected(self) -> None:
        wait_until(lambda: self.broadcaster.status()["connected"])

    def wait_for_message(self, text: str) -> str:
        wait_until(lambda: text in self.broadcaster.status()["message"])
        return self.broadcaster.status()["message"]


@pytest.fixture
def make_show(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., Show]]:
    shows: list[Show] = []
    caplog.set_level(logging.DEBUG)

    def make(push_url: str = "none") -> Show:
        shows.append(
            Show(
                Settings(
                    target_fps=FPS,
                    initial_prompt="words",
                    model_id="demo",
                    server_port=0,
                    push_url=push_url,
                    state_dir=tmp_path / "state",
                )
            )
        )
        return shows[-1]

    yield make
    for show in shows:
        assert KEY not in str(show.broadcaster.status())
        show.close()
    assert KEY not in caplog.text


@pytest.fixture
def show(make_show: Callable[..., Show]) -> Show:
    return make_show()


@pytest.fixture
def rtmp(tmp_path: Path) -> Iterator[RtmpServer]:
    folder = tmp_path / "rtmp"
    folder.mkdir()
    server = RtmpServer(folder)
    server.start()
    yield server
    server.kill()


def gaps(video: list[dict[str, str]]) -> list[float]:
    times = [float(packet["pts_time"]) for packet in video]
    return [after - before for before, after in zip(times, times[1:], strict=False)]


# -- to a server that works ------------------------------------------------------------------------


@needs_rtmp
def test_an_rtmp_server_gets_the_stream_at_its_rate_with_a_keyframe_every_two_seconds(
    show: Show, rtmp: RtmpServer, tmp_path: Path
) -> None:
    assert show.broadcaster.start(rtmp.url)["to"] == rtmp.shown
    show.wait_until_connected()
    assert pushers()
    assert KEY not in str(pushers())
    found = read_back(rtmp.url, 5, tmp_path / "read.flv")
    assert set(found["streams"]) == {"h264", "aac"}
    h264 = found["streams"]["h264"]
    assert (h264["width"], h264["height"], h264["pix_fmt"]) == (*SIZE, "yuv420p")
    video = found["video"]
    assert 0.9 * FPS <= 1 / float(np.mean(gaps(video))) <= 1.1 * FPS
    keyframes = [float(one["pts_time"]) for one in video if "K" in one["flags"]]
    assert len(keyframes) >= 2
    assert max(np.diff(keyframes)) < 2.2
    status = show.broadcaster.status()
    assert status["seconds"] > 4
    assert status["bit_rate"] > 0
    assert status["frames"] > 4 * FPS * 0.9
    assert status["reconnects"] == 0


@needs_rtmp
def test_a_change_is_seen_within_a_second(show: Show, rtmp: RtmpServer) -> None:
    show.broadcaster.start(rtmp.url)
    show.wait_until_connected()
    # ffprobe's defaults would examine five seconds first.
    command = ["ffmpeg", "-v", "error", "-fflags", "nobuffer", "-flags", "low_delay"]
    command += ["-probesize", "100000", "-analyzeduration", "0", "-i", rtmp.url, "-an"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-fps_mode", "passthrough", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as reader:
        assert reader.stdout is not None
        pictures = iter(lambda: reader.stdout.read(SIZE[0] * SIZE[1] * 3), b"")

        def is_blue() -> bool:
            pixels = np.frombuffer(next(pictures), np.uint8).reshape(-1, 3).mean(axis=0)
            return bool(pixels[2] > pixels[0])

        def delay_s() -> float:
            wanted = not is_blue()
            show.picture = BLUE if wanted else RED
            changed = time.monotonic()
            while is_blue() != wanted:
                pass
            return time.monotonic() - changed

        caught_up = time.monotonic() + 2  # the server begins with what it kept since a keyframe
        while time.monotonic() < caught_up:
            is_blue()
        once_below(1.0, delay_s)
        reader.kill()


@needs_rtmp
def test_the_last_picture_is_repeated_while_there_is_no_new_one(
    show: Show, rtmp: RtmpServer, tmp_path: Path
) -> None:
    show.broadcaster.start(rtmp.url)
    show.wait_until_connected()
    show.silent = True
    video = read_back(rtmp.url, 4, tmp_path / "read.flv")["video"]
    assert 0.8 * FPS <= 1 / float(np.mean(gaps(video))) <= 1.1 * FPS
    assert show.broadcaster.status()["connected"]


@needs_rtmp
def test_it_resumes_by_itself_when_the_server_was_killed(
    show: Show, rtmp: RtmpServer, tmp_path: Path
) -> None:
    show.broadcaster.start(rtmp.url)
    show.wait_until_connected()
    rtmp.kill()
    show.wait_for_message("Trying again")
    assert show.broadcaster.status()["bit_rate"] == 0
    rtmp.start()
    show.wait_until_connected()
    assert show.broadcaster.status()["reconnects"] >= 1
    assert len(read_back(rtmp.url, 4, tmp_path / "read.flv")["video"]) > FPS


@needs_rtmp
def test_pictures_of_another_size_begin_a_new_connection(
    show: Show, rtmp: RtmpServer, tmp_path: Path
) -> None:
    show.broadcaster.start(rtmp.url)
    show.wait_until_connected()
    show.picture = jpeg((30, 200, 30), (65, 67))
    show.wait_for_message("The size of the pictures changed from 128x96 to 65x67")
    show.wait_until_connected()
    h264 = read_back(rtmp.url, 2, tmp_path / "read.flv")["streams"]["h264"]
    assert (h264["width"], h264["height"]) == (66, 68)


@needs_rtmp
def test_another_address_replaces_the_first(show: Show, rtmp: RtmpServer) -> None:
    show.broadcaster.start(f"rtmp://127.0.0.1:{free_port()}/live/{KEY}")
    assert show.broadcaster.start(rtmp.url)["to"] == rtmp.shown
    show.wait_until_connected()
    assert len(pushers()) == 1
    stopped = show.broadcaster.stop()
    assert not stopped["on"]
    assert not stopped["connected"]
    assert show.broadcaster.stop() == stopped


@pytest.mark.parametrize("options", ["", f"?passphrase={KEY}&pbkeylen=16&latency=200"])
def test_an_srt_listener_gets_the_stream(show: Show, tmp_path: Path, options: str) -> None:
    protocols = subprocess.run(["ffmpeg", "-v", "error", "-protocols"], capture_output=True).stdout
    if b"srt\n" not in protocols:
        pytest.skip("this ffmpeg has no SRT")
    port, file = free_port(), tmp_path / "read.ts"
    source = f"srt://127.0.0.1:{port}{options}{'&' if options else '?'}mode=listener"
    command = ["ffmpeg", "-v", "error", "-t", "3", "-i", source, "-c", "copy", "-y", str(file)]
    with subprocess.Popen(command) as reader:
        show.broadcaster.start(f"srt://127.0.0.1:{port}{options}")
        show.wait_until_connected()
        assert show.broadcaster.status()["to"] == f"srt://127.0.0.1:{port}"
        assert reader.wait(60) == 0
    found = probed(str(file))
    assert set(found["streams"]) == {"h264", "aac"}
    assert len(found["video"]) > 2 * FPS * 0.9
    show.wait_for_message("was lost")


def test_an_hls_folder_can_be_played_and_loses_its_old_segments(
    make_show: Callable[..., Show], tmp_path: Path
) -> None:
    folder = tmp_path / "live"
    folder.mkdir()
    old = [folder / "stream-7.ts", folder / "stream.m3u8"]
    for file in old:
        file.write_text("from an earlier broadcast")
    show = make_show(f"hls:{folder}")
    show.broadcaster.start()
    wait_until(lambda: len(list(folder.glob("*.ts"))) >= 2 and "EXTINF" in old[1].read_text())
    assert not old[0].exists()
    assert show.broadcaster.status()["to"] == f"hls:{folder}"
    first = sorted(folder.glob("*.ts"))[0]
    wait_until(lambda: not first.exists(), timeout_s=60)
    show.broadcaster.stop()
    assert len(list(folder.glob("*.ts"))) < 12
    found = probed(str(folder / "stream.m3u8"))
    assert "h264" in found["streams"]
    assert "#EXT-X-ENDLIST" in (folder / "stream.m3u8").read_text()


# -- to one that fails -----------------------------------------------------------------------------


def test_a_server_that_refuses_is_reported_once_and_tried_again(
    show: Show, caplog: pytest.LogCaptureFixture
) -> None:
    show.broadcaster.start(f"rtmp://127.0.0.1:{free_port()}/live/{KEY}")
    message = show.wait_for_message("refuses the connection: check the host and the port.")
    assert "Trying again in" in message
    wait_until(lambda: show.broadcaster.status()["reconnects"] >= 2)
    show.wait_for_message("Trying again in 4 s.")
    assert caplog.text.count("refuses the connection") == 1
    assert show.broadcaster.stop()["reconnects"] == 2, "the one that was to come is not counted"


def test_an_unknown_host_is_named(show: Show) -> None:
    show.broadcaster.start(f"rtmps://nowhere.invalid/live/{KEY}")
    show.wait_for_message("The host of rtmps://nowhere.invalid/live/*** is unknown")


@needs_rtmp
def test_a_rejected_key_is_reported(show: Show, rtmp: RtmpServer) -> None:
    show.broadcaster.start(rtmp.url.replace("/live/", "/locked/"))
    show.wait_for_message("/locked/*** does not accept the broadcast: check the application and")


def test_a_server_that_stays_silent_delays_neither_the_stream_nor_a_stop(show: Show) -> None:
    silent = Silent()
    try:
        show.broadcaster.start(f"rtmp://127.0.0.1:{silent.port}/live/{KEY}")
        show.wait_for_message("does not answer. Trying again")
        assert show.slowest_s < 0.5
        wait_until(lambda: bool(pushers()))
        began = time.monotonic()
        assert not show.broadcaster.stop(timeout_s=1.0)["on"]
        assert time.monotonic() - began < 3.0
    finally:
        silent.close()


def test_an_srt_address_without_a_listener_is_reported(show: Show) -> None:
    show.broadcaster.start(f"srt://127.0.0.1:{free_port()}?streamid={KEY}")
    show.wait_for_message("does not answer")


def test_a_killed_encoder_is_started_again(show: Show, tmp_path: Path) -> None:
    silent = Silent()
    try:
        show.broadcaster.start(f"rtmp://127.0.0.1:{silent.port}/live/{KEY}")
        wait_until(lambda: bool(pushers()))
        (number,) = pushers()
        os.kill(number, signal.SIGKILL)
        show.wait_for_message("error of the program, which the log shows. Trying again")
        wait_until(lambda: bool(pushers()))
    finally:
        silent.close()


@pytest.mark.parametrize("url", ["", "http://a/b/c", "rtmp://host", f"rtmp://a b/live/{KEY}"])
def test_an_invalid_address_changes_nothing(show: Show, url: str) -> None:
    before = show.broadcaster.status()
    with pytest.raises(PushAddressError) as refused:
        show.broadcaster.start(url)
    assert KEY not in str(refused.value)
    assert show.broadcaster.status() == before


def test_a_folder_is_only_taken_from_the_setting(show: Show, tmp_path: Path) -> None:
    with pytest.raises(PushAddressError, match="can only be given by the setting PUSH_URL"):
        show.broadcaster.start(str(tmp_path / "live"))


def test_a_folder_with_other_files_or_secrets_is_refused(
    make_show: Callable[..., Show], tmp_path: Path
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.txt").write_text("mine")
    (tmp_path / "state").mkdir()
    for name, sentence in {
        "notes": "has other files in it",
        "state": "belongs to STATE_DIR",
        "state/live": "belongs to STATE_DIR",
        "missing/live": "cannot be written (No such file or directory)",
        "notes/diary.txt": "cannot be written (File exists)",
    }.items():
        with pytest.raises(RecordingError) as refused:
            make_show(f"hls:{tmp_path}/{name}").broadcaster.start()
        assert sentence in str(refused.value)
    assert (tmp_path / "notes" / "diary.txt").read_text() == "mine"
