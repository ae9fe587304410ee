"""The whole program with SOURCE: what the engine paints from, and how it ends."""

from __future__ import annotations

import io
import json
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.server import Server, once_below
from tests.sources.files import BLUE, RED, near, saved, video
from tests.sources.test_feed import readers
from tests.stream.running import wait_until


def put(server: Server, data: bytes, query: str = "") -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(f"{server.address}/source{query}", data, method="PUT")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def preview(server: Server) -> np.ndarray:
    status, data = server.request("/source.jpg")
    assert status == 200
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def has_picture(server: Server) -> bool:
    """The process that reads SOURCE may need longer than the first frame."""
    return server.request("/source.jpg")[0] == 200


def newest_shot(server: Server) -> dict[str, Any]:
    assert server.request("/snapshot.jpg")[0] == 200
    found = json.loads(server.request(f"/frames/{server.status()['frame']}/shot")[1])
    shot: dict[str, Any] = found["shot"]
    return shot


def test_a_video_is_painted_from_and_a_given_picture_comes_first(tmp_path: Path) -> None:
    file = video(tmp_path / "red.mp4", "-pix_fmt", "yuv420p", colours=(RED,))
    with Server(SOURCE=str(file), STATE_DIR=str(tmp_path / "state")) as server:
        server.wait_until_healthy()
        first = server.request("/snapshot.jpg")[1]
        size = Image.open(io.BytesIO(first)).size
        wait_until(lambda: has_picture(server))
        wait_until(lambda: near(preview(server)[8, 8], RED, 30))
        # Until the first frame has told the size of the stage, it is the picture as it came.
        wait_until(lambda: preview(server).shape == (size[1], size[0], 3))
        found = server.status()["source"]
        assert (found["kind"], found["from"], found["refused"]) == ("picture", str(file), 0)
        wait_until(lambda: "source" in newest_shot(server))  # the first may be from before it

        status, answer = put(server, saved(Image.new("RGB", (640, 480), BLUE), "PNG"))
        assert (status, answer["status"]) == (200, "ok")
        assert near(preview(server)[8, 8], BLUE, 30)
        status, answer = put(server, b"<svg/>")
        assert status == 415
        assert "This is an SVG drawing" in str(answer["error"])
        assert server.request("/snapshot.jpg")[0] == 200
        server.ending_s()
    assert readers() == []


def test_an_address_that_hangs_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/cam"

        def ending_s() -> float:
            with Server(SOURCE=address, STATE_DIR=str(tmp_path / "state")) as server:
                server.wait_until_healthy()
                assert server.request("/snapshot.jpg")[0] == 200  # painted from noise meanwhile
                return server.ending_s()

        once_below(5.0, ending_s)


def test_the_program_does_not_take_its_own_stream(tmp_path: Path) -> None:
    from tests.ports import free_port

    port = free_port()
    address = f"http://localhost:{port}/stream"
    with Server(port=port, SOURCE=address, STATE_DIR=str(tmp_path / "state")) as server:
        server.wait_for_log("is this server itself; for its own pictures as the source, set")
        server.wait_until_healthy()
        server.ending_s()
