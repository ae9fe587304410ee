"""A server that is killed while it records: the video plays to within a second of the end."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from playwright.sync_api import sync_playwright

from tests.chromium import launch
from tests.server import Server
from tests.sinks.pictures import play, times
from tests.stream.running import wait_until
from turbostream.sinks.session_reader import read_session

RECORDED_S = 6.0
LOST_S = 1.0


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """(the video of a server that got SIGKILL, seconds from its first frame to that moment)."""
    state = tmp_path_factory.mktemp("state")
    module = ["-m", "tests.robustness.program", "sound"]
    with Server("--record", program=module, STATE_DIR=str(state), TARGET_FPS="30") as server:
        session = wait_for_session(state / "recordings")
        time.sleep(RECORDED_S)
        server.signal(signal.SIGKILL)
        ended = time.time()
        assert server.wait() == -signal.SIGKILL
    (video,) = (state / "recordings").glob("*.mp4")
    return video, ended - read_session(session).header.started


def wait_for_session(folder: Path) -> Path:
    """The session of the recording in `folder`, once it has frames. It begins when the first of
    them is there, which is the start of the video."""

    def written() -> list[Path]:
        return [file for file in folder.glob("*.jsonl") if b'"frame"' in file.read_bytes()]

    wait_until(written, timeout_s=120.0)
    return written()[0]


def test_ffmpeg_plays_it_to_within_a_second_of_the_end(killed: tuple[Path, float]) -> None:
    video, lasted_s = killed
    play(video, "-y", "/dev/null")
    assert lasted_s - times(video)[-1] <= LOST_S


def test_mpv_plays_it_to_within_a_second_of_the_end(killed: tuple[Path, float]) -> None:
    video, lasted_s = killed
    command = ["mpv", "--no-config", "--vo=null", "--ao=null", "--untimed"]
    command += ["--term-status-msg=at ${=time-pos}"]
    done = subprocess.run(
        [*command, str(video)], capture_output=True, text=True, timeout=60, check=True
    )
    shown = [float(at) for at in re.findall(r"at ([0-9.]+)", done.stdout + done.stderr)]
    assert lasted_s - max(shown) <= LOST_S


def test_chromium_plays_it_to_within_a_second_of_the_end(
    killed: tuple[Path, float], address: str
) -> None:
    video, lasted_s = killed
    with sync_playwright() as playwright:
        browser = launch(playwright.chromium)
        page = browser.new_page()
        page.goto(f"{address}/empty.html")
        played = page.evaluate(PLAY, video.name)
        browser.close()
    assert "error" not in played, played
    assert lasted_s - played["ended"] <= LOST_S
    assert played["frames"] > 0


def test_the_session_has_every_frame_of_the_video(killed: tuple[Path, float]) -> None:
    video, _ = killed
    (file,) = video.parent.glob("*.jsonl")
    recipes = list(read_session(file).frames())
    shown = times(video)
    assert len(recipes) >= len(shown) > 20
    for recipe, time_s in zip(recipes, shown, strict=False):
        assert recipe.at - recipes[0].at == pytest.approx(time_s, abs=0.002)


PLAY = """(name) => new Promise(done => {
  const video = document.createElement('video');
  video.muted = true;
  video.playbackRate = 4;
  video.onended = () => done({
    ended: video.currentTime,
    frames: video.getVideoPlaybackQuality().totalVideoFrames,
  });
  video.onerror = () => done({error: video.error.message});
  video.src = name;
  document.body.append(video);
  video.play();
})"""


@pytest.fixture
def address(killed: tuple[Path, float]) -> Iterator[str]:
    """A web server of the folder of the video."""
    folder = killed[0].parent
    (folder / "empty.html").write_text("<!doctype html><body></body>")

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
