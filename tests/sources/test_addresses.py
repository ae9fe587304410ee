"""SOURCE as an address: cameras and streams over HTTP, and servers that hang, lie or redirect."""

from __future__ import annotations

import logging
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.sources.conftest import Room
from tests.sources.files import BLUE, GREEN, RED, jpeg, video
from tests.sources.rtsp_server import playing
from tests.sources.test_feed import readers, warnings
from tests.sources.web_server import Server, at_10_fps, mjpeg, redirect, serving
from tests.stream.running import wait_until
from turbostream.settings import SettingError
from turbostream.sources import feed, own_address
from turbostream.sources.own_address import OwnAddress

MakeRoom = Callable[..., Room]
KEY = "hidden-key"


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "web"
    folder.mkdir()
    with serving(folder) as server:
        yield server


@pytest.fixture
def make_room(web: Server, make_room: MakeRoom) -> MakeRoom:
    """Rooms that end before the server does."""
    return make_room


@pytest.fixture(autouse=True)
def no_key_is_told(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    assert KEY not in caplog.text


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "FIRST_PAUSE_S", 0.1)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "TIMEOUT_S", 2.0)


# -- what plays ------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_length", [True, False])
@pytest.mark.parametrize("border", ["frame", "--odd"])
def test_mjpeg(make_room: MakeRoom, web: Server, with_length: bool, border: str) -> None:
    web.answers["/cam"] = mjpeg(at_10_fps(jpeg(RED), jpeg(BLUE)), with_length, border)
    room = make_room(source=web.url("/cam")).start()
    room.wait_for(RED)
    room.wait_for(BLUE)
    status = room.sources.status()
    assert (status["from"], status["refused"]) == (web.url("/cam"), 0)
    room.sources.stop(5.0)
    assert readers() == []


def test_the_newest_picture_of_a_fast_camera_is_shown(make_room: MakeRoom, web: Server) -> None:
    def flood() -> Iterator[bytes]:
        until = time.monotonic() + 2.0
        while time.monotonic() < until:
            yield jpeg(RED)
        while True:
            yield jpeg(BLUE)
            time.sleep(0.1)

    web.answers["/cam"] = mjpeg(flood)
    room = make_room(source=web.url("/cam")).start()
    room.wait_for(RED)
    room.wait_for(BLUE)
    assert room.sources.status()["dropped"] > 10


def test_one_picture_is_looked_at_again(make_room: MakeRoom, web: Server) -> None:
    web.answers["/shot"] = lambda handler: handler.send(jpeg(RED), "image/jpeg")
    room = make_room(source=web.url("/shot")).start()
    room.wait_for(RED)
    web.answers["/shot"] = lambda handler: handler.send(jpeg(BLUE), "image/jpeg")
    wait_until(lambda: room.shows(BLUE), timeout_s=30)
    assert len(readers()) == 1


def test_hls(make_room: MakeRoom, web: Server) -> None:
    video(web.folder / "live.m3u8", "-g", "10", "-f", "hls", "-hls_time", "1",
          "-hls_list_size", "0")  # fmt: skip
    room = make_room(source=web.url("/live.m3u8")).start()
    wait_until(lambda: room.shows(RED, 30))
    wait_until(lambda: room.shows(BLUE, 30))


def test_a_video_over_http_plays_at_its_own_pace(make_room: MakeRoom, web: Server) -> None:
    video(web.folder / "two.mp4", "-pix_fmt", "yuv420p", "-movflags", "faststart")
    room = make_room(source=web.url("/two.mp4")).start()
    wait_until(lambda: room.shows(RED, 30))
    began = time.monotonic()
    wait_until(lambda: room.shows(BLUE, 30))
    assert 0.5 < time.monotonic() - began < 5


def test_rtsp(make_room: MakeRoom, tmp_path: Path) -> None:
    file = video(tmp_path / "x.ts", "-c:v", "mpeg2video", "-r", "25", "-g", "5", "-q:v", "2",
                 "-vf", "noise=alls=30:allf=t", colours=(RED,) * 3)  # fmt: skip
    with playing(file) as port:
        room = make_room(source=f"rtsp://127.0.0.1:{port}/cam").start()
        wait_until(lambda: room.shows(RED, 60))
        room.sources.stop(5.0)


def test_a_password_is_sent_and_never_shown(make_room: MakeRoom, web: Server, quick: None) -> None:
    web.answers["/cam"] = mjpeg(at_10_fps(jpeg(RED)))
    room = make_room(source=web.url(f"/cam?key={KEY}", user=f"me:{KEY}@")).start()
    room.wait_for(RED)
    assert web.asked[0] == ("/cam", "Basic bWU6aGlkZGVuLWtleQ==")
    assert room.sources.status()["from"] == web.url("/cam?***")
    assert KEY not in str(room.settings.as_text())
    assert KEY not in Path(f"/proc/{readers()[0]}/cmdline").read_text()


def test_a_password_is_not_passed_on_by_a_redirect(make_room: MakeRoom, web: Server) -> None:
    web.answers["/cam"] = mjpeg(at_10_fps(jpeg(RED)))
    web.answers["/old"] = redirect(f"http://localhost:{web.port}/cam")
    make_room(source=web.url("/old", user=f"me:{KEY}@")).start().wait_for(RED)
    assert [password is None for _, password in web.asked] == [False, True]


# -- what does not ---------------------------------------------------------------------------------


def test_a_server_that_hangs_is_one_sentence_and_holds_up_nothing(
    make_room: MakeRoom, web: Server, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    """While somebody's picture is in force, the sentence is in the log alone."""
    web.answers["/cam"] = web.hang
    room = make_room(source=web.url("/cam")).start()
    wait_until(lambda: bool(web.asked))
    room.sources.put(jpeg(GREEN), "cover", False, 5.0)  # meanwhile
    assert room.shows(GREEN)
    wait_until(lambda: "does not answer" in caplog.text)
    assert caplog.messages == [f"[source] {web.url('/cam')} does not answer. It is tried again."]
    assert room.sources.status()["message"] == ""
    began = time.monotonic()
    room.sources.stop(5.0)
    assert time.monotonic() - began < 2
    assert readers() == []


@pytest.mark.parametrize("path", ["/cam", "/live.m3u8", "/x.mp4"])
def test_stop_does_not_wait_for_a_server_that_hangs(
    make_room: MakeRoom, web: Server, path: str
) -> None:
    def half(handler: object) -> None:
        handler.send_response(200)  # type: ignore[attr-defined]
        handler.send_header("Content-Type", "video/mp4")  # type: ignore[attr-defined]
        handler.end_headers()  # type: ignore[attr-defined]
        web.hang(handler)  # type: ignore[arg-type]

    web.answers[path] = half
    room = make_room(source=web.url(path)).start()
    wait_until(lambda: len(web.asked) >= 1)
    time.sleep(0.5)  # until FFmpeg waits
    began = time.monotonic()
    room.sources.stop(5.0)
    assert time.monotonic() - began < 2
    assert "source" not in {thread.name for thread in threading.enumerate()}
    assert readers() == []


def test_a_camera_that_falls_silent_is_connected_to_again(
    make_room: MakeRoom, web: Server, impatient: None
) -> None:
    def once() -> Iterator[bytes]:
        yield jpeg(RED)
        web.hung_up.wait(30)

    web.answers["/cam"] = mjpeg(once)
    room = make_room(source=web.url("/cam")).start()
    room.wait_for(RED)
    room.wait_for_message("has sent nothing for 2 s. It is tried again.")
    web.answers["/cam"] = mjpeg(at_10_fps(jpeg(BLUE)))
    room.wait_for(BLUE)
    assert room.sources.status()["message"] == ""


def test_a_stream_that_ends_is_opened_again_and_logged_once(
    make_room: MakeRoom, web: Server, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    web.answers["/gone"] = lambda handler: handler.send_error(404)
    room = make_room(source=web.url("/gone")).start()
    wait_until(lambda: len(web.asked) >= 3)
    assert warnings(caplog) == [
        f"[source] {web.url('/gone')} refuses the request (404). It is tried again."
    ]
    web.answers["/gone"] = mjpeg(lambda: iter([jpeg(RED)]))
    room.wait_for(RED)
    room.wait_for_message("has ended the stream. It is tried again.")


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (lambda h: h.send(b"<html></html>", "text/html"), "is damaged or not a stream"),
        (lambda h: h.send(b"", "video/mp4"), "is damaged or not a stream"),
        (lambda h: h.send(b"words", "image/jpeg"), "This is text"),
        (lambda h: h.send_error(500), "refuses the request (500)"),
        (redirect("ftp://127.0.0.1/x"), "redirects to an address that is neither"),
        (redirect("file:///etc/passwd"), "redirects to an address that is neither"),
        (lambda h: h.wfile.write(b"garbage\r\n\r\n"), "has ended the stream"),
    ],
)
def test_an_address_without_a_stream_is_one_sentence(
    make_room: MakeRoom, web: Server, answer: Callable[[object], None], sentence: str
) -> None:
    web.answers["/x"] = answer  # type: ignore[assignment]
    room = make_room(source=web.url("/x")).start()
    message = room.wait_for_message(sentence)
    assert "\n" not in message


def test_an_address_that_redirects_to_itself(make_room: MakeRoom, web: Server) -> None:
    web.answers["/x"] = redirect(web.url("/x"))
    room = make_room(source=web.url("/x")).start()
    room.wait_for_message("refuses the request (302). It is tried again.")
    assert len(web.asked) < 30


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_port_where_nobody_listens(make_room: MakeRoom, scheme: str) -> None:
    port = free_port()
    room = make_room(source=f"{scheme}://127.0.0.1:{port}/{KEY}?{KEY}").start()
    room.wait_for_message("refuses the connection: check the host and the port.")


def test_a_host_that_does_not_exist(make_room: MakeRoom) -> None:
    room = make_room(source="http://me:pw@nowhere.invalid/cam").start()
    message = room.wait_for_message("is unknown: check its name. It is tried again.")
    assert message.startswith("The host of http://nowhere.invalid/cam")


def test_rtsp_that_hangs_is_one_sentence(make_room: MakeRoom, impatient: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        room = make_room(source=f"rtsp://127.0.0.1:{port}/cam").start()
        room.wait_for_message("does not answer")
        room.sources.stop(5.0)


PLAYLISTS = {
    "file": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n",
    "concat": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nconcat:{secret}\n#EXT-X-ENDLIST\n",
    "subfile": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n"
    "subfile,,start,0,end,0,,:{secret}\n#EXT-X-ENDLIST\n",
    "ffconcat": "ffconcat version 1.0\nfile file:{secret}\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_playlist_reads_no_file_of_this_machine(
    make_room: MakeRoom, web: Server, tmp_path: Path, kind: str
) -> None:
    secret = video(tmp_path / "secret.ts", colours=(RED,))
    (web.folder / "x.m3u8").write_text(PLAYLISTS[kind].format(secret=secret))
    room = make_room(source=web.url("/x.m3u8")).start()
    wait_until(lambda: bool(room.sources.status()["message"]))
    assert room.channel.given == []
    # The same playlist works from a place that it may name.
    (web.folder / "secret.ts").write_bytes(secret.read_bytes())
    (web.folder / "x.m3u8").write_text(PLAYLISTS["file"].format(secret="").replace(
        "file://", web.url("/secret.ts")))  # fmt: skip
    wait_until(lambda: room.shows(RED, 30))


# -- this very server ------------------------------------------------------------------------------


def own_names() -> list[str]:
    return ["127.0.0.1", "localhost", "127.1", "0.0.0.0", socket.gethostname()]


@pytest.mark.parametrize("host", own_names())
def test_this_very_server_is_refused(make_room: MakeRoom, host: str) -> None:
    port = free_port()
    room = make_room(source=f"http://{host}:{port}/stream", server_port=port).start()
    message = room.wait_for_message("is this server itself")
    assert message == (
        f"SOURCE http://{host}:{port}/stream is this server itself; for its own pictures as the "
        "source, set `source` to `feedback`."
    )
    wait_until(lambda: "source" not in {thread.name for thread in threading.enumerate()})


def test_a_redirect_to_this_very_server_is_refused(make_room: MakeRoom, web: Server) -> None:
    port = free_port()
    web.answers["/a"] = redirect("/b")
    web.answers["/b"] = redirect(f"http://localhost:{port}/stream")
    room = make_room(source=web.url("/a"), server_port=port).start()
    room.wait_for_message("is this server itself")
    assert [path for path, _ in web.asked] == ["/a", "/b"]


def test_the_public_address_is_this_very_server(make_room: MakeRoom) -> None:
    room = make_room(source="http://Show.example/stream", public_address="show.example:80").start()
    room.wait_for_message("is this server itself")


def test_another_server_of_this_machine_is_not(web: Server) -> None:
    own_address.check(web.url("/x"), web.port + 1, [])
    with pytest.raises(OwnAddress):
        own_address.check(web.url("/x"), web.port, [])
    with pytest.raises(OwnAddress):
        own_address.check(f"http://[::1]:{web.port}/", web.port, [])
    own_address.check("http://192.0.2.1:8000/", 8000, [])  # of no machine


# -- the setting -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("/nowhere/x.jpg", "There is no file or folder /nowhere/x.jpg"),
        ("~nosuchuser/x.jpg", "The home folder that the ~ stands for is unknown"),
        ("a" * 300, "File name too long"),
        ("/dev/null", "The source must be a picture, a folder"),
        ("ftp://host/x", "The source must be a picture, a folder"),
        (f"file:///etc/{KEY}", "The source must be a picture"),
        (f"http://me:{KEY}@", "The source must be a picture"),
        (f"http://me:{KEY}@host:port/", "The address cannot be read"),
        (f"http://me:{KEY}@host/a b", "without blanks"),
        (f"http:/me:{KEY}@host/", "There is no file or folder of that name"),
        ("x\ty", "control characters"),
    ],
)
def test_a_source_that_cannot_be_is_one_sentence_at_the_start(value: str, sentence: str) -> None:
    from tests.test_settings import settings

    with pytest.raises(SettingError) as refused:
        settings(SOURCE=value)
    text = str(refused.value)
    assert text.startswith("SOURCE must be 'none', a picture, a folder of pictures, a video")
    assert sentence in text
    assert text.endswith(".")
    assert KEY not in text


def test_a_source_that_may_not_be_read(tmp_path: Path) -> None:
    file = tmp_path / "x.jpg"
    file.write_bytes(b"x")
    file.chmod(0)
    code = f"""
import os
from turbostream.stream.source_address import parse
os.setuid(65534)
try:
    parse({str(file)!r})
except ValueError as error:
    print(error)
"""
    import sys

    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if not parent.stat().st_mode & 0o001:  # pytest's own, of which there are two or three
            parent.chmod(0o755)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.stdout == "This user may not read it.\n", ended.stderr
