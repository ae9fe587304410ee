"""Several channels of the running program: watched, controlled, removed, restarted."""

from __future__ import annotations

import json
import signal
import socket
from contextlib import ExitStack
from typing import Any

import psutil
import pytest
from websockets.exceptions import ConnectionClosed

from tests.robustness.conftest import Program, Start
from tests.robustness.controller import Controller
from tests.robustness.raw import eventually, open_stream


def ask(program: Program, path: str, body: object = None, method: str | None = None) -> Any:
    """The JSON of a request that succeeds."""
    status, answer = program.request(path, body, method)
    assert status in (200, 201, 204), (path, answer)
    return json.loads(answer) if answer else None


def names(program: Program) -> list[str]:
    return [one["name"] for one in ask(program, "/channels")["channels"]]


def reads_on(viewer: socket.socket) -> bool:
    """Whether more arrives; False at the end of the stream."""
    return bool(viewer.recv(65536))


def test_a_controller_of_a_channel_changes_and_sees_that_channel(start: Start) -> None:
    program = start("sound", "--channels", "main,left").wait_until_healthy()
    path = "/control?channel=left"
    with Controller(program.port, path=path) as left, Controller(program.port) as main:
        main.state(prompt="grey")
        answer = left.ask(1, set={"prompt": "left words"})
        assert answer["scene"]["prompt"] == "left words"
        left.state(prompt="left words")
        left.socket.send(b"/turbostream/prompt\0,s\0\0osc words\0\0\0")
        assert "default channel" in left.error()
        main.ask(2, set={"speed": 0.7})
        main.state(speed=0.7, prompt="grey")
    assert ask(program, "/scene?channel=left")["speed"] == 0.15


def test_a_channel_is_removed_under_its_viewers_and_controllers(start: Start) -> None:
    program = start("sound", "--channels", "main,left").wait_until_healthy()
    with (
        open_stream(program.port) as kept,
        open_stream(program.port, "/stream?channel=left") as ending,
        Controller(program.port, path="/control?channel=left") as controller,
    ):
        assert reads_on(kept)
        assert reads_on(ending)
        controller.state()
        ask(program, "/channels/left", method="DELETE")
        eventually(lambda: not reads_on(ending), step_s=0)
        with pytest.raises(ConnectionClosed) as closed:
            controller.until(lambda message: False)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        frame = program.status()["frame"]
        eventually(lambda: reads_on(kept) and program.status()["frame"] > frame + 20, step_s=0)
    assert program.request("/stream?channel=left")[0] == 404
    assert names(program) == ["main"]


def test_all_channels_survive_a_kill(start: Start) -> None:
    program = start("sound", "--channels", "main,left").wait_until_healthy()
    ask(program, "/prompt?channel=left", {"prompt": "left words"})
    ask(program, "/channels/made", {"target_fps": 7, "width": 128}, "PUT")
    ask(program, "/scene?channel=made", {"prompt": "made words", "speed": 0.5}, "PATCH")
    follows = {"channel": "left", "seed": 3}
    ask(program, "/channels/beside", {"follows": follows}, "PUT")
    before = ask(program, "/channels")
    assert program.state is not None
    file = program.state / f"scene-{program.port}.json"
    eventually(lambda: file.exists() and "made words" in file.read_text())
    eventually(lambda: '"beside"' in file.read_text())
    program.signal(signal.SIGKILL)
    program.wait()
    again = start("sound", "--channels", "main,left", port=program.port).wait_until_healthy()
    assert ask(again, "/channels") == before
    assert ask(again, "/scene?channel=left")["prompt"] == "left words"
    assert ask(again, "/scene?channel=beside")["prompt"] == "left words"
    made = ask(again, "/scene?channel=made")
    assert (made["prompt"], made["speed"]) == ("made words", 0.5)
    assert ask(again, "/scene")["prompt"] == "grey"


def test_sixteen_channels_are_watched_and_removed_and_leave_nothing(start: Start) -> None:
    program = start("sound", "--target-fps", "10").wait_until_healthy()
    process = psutil.Process(program.process.pid)
    threads = process.num_threads()
    every = [f"c{number}" for number in range(15)]
    for _ in range(2):
        for name in every:
            ask(program, f"/channels/{name}", {}, "PUT")
        assert program.request("/channels/one-more", {}, "PUT")[0] == 409
        with ExitStack() as stack:
            viewers = [
                stack.enter_context(open_stream(program.port, f"/stream?channel={name}"))
                for name in ["main", *every]
            ]
            for viewer in viewers:
                assert reads_on(viewer)
            eventually(lambda: all(one["fps"] > 2 for one in ask(program, "/channels")["channels"]))
            assert [one["viewers"] for one in ask(program, "/channels")["channels"]] == [1] * 16
            for name in every:
                ask(program, f"/channels/{name}", method="DELETE")
            for viewer in viewers[1:]:
                eventually(lambda viewer=viewer: not reads_on(viewer), step_s=0)
            assert reads_on(viewers[0])
    eventually(lambda: process.num_threads() <= threads + 2)
    assert names(program) == ["main"]


def test_the_first_channel_is_the_one_without_a_name(start: Start) -> None:
    program = start("sound", "--channels", "stage,left").wait_until_healthy()
    ask(program, "/prompt", {"prompt": "stage words"})
    assert ask(program, "/scene?channel=stage")["prompt"] == "stage words"
    assert program.request("/scene?channel=main")[0] == 404
    assert program.request("/channels/stage", method="DELETE")[0] == 409
