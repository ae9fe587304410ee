"""kill -9 in each step of each script: the next run works, and nothing stays rented."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.deploy.host import Host, answers, healthy, wait_for
from tests.deploy.laptop import Laptop, Running
from tests.deploy.renting import Vast
from tests.deploy.standin import CONTAINER_KEY, standing_in
from tests.deploy.watching import Viewer
from tests.ports import free_port

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]


def kill_at(running: Running, pattern: str, everything: bool) -> None:
    """The script alone, as `kill -9 PID` does, or its whole process group, as a crash does."""
    running.wait_said(pattern, 90)
    if everything:
        with suppress(ProcessLookupError):  # it may have ended by itself after that output
            os.killpg(running.process.pid, signal.SIGKILL)
    else:
        running.process.kill()
    running.process.wait(10)


@pytest.fixture(scope="module")
def serving(host: Host, laptop: Laptop) -> Iterator[None]:
    done = laptop.run("start_stream_server.sh", timeout_s=120)
    assert done.returncode == 0, done.stderr
    yield
    laptop.run("start_stream_server.sh", "--stop")


@pytest.mark.parametrize("everything", [False, True], ids=["script", "group"])
@pytest.mark.parametrize(
    "step", ["copying to", "starting; a running server", "waiting: The program", "waiting: Loading"]
)
def test_a_start_that_is_killed_is_followed_by_one_that_works(
    host: Host, laptop: Laptop, serving: None, step: str, everything: bool
) -> None:
    with Viewer(host.server_port) as viewer:
        wait_for(lambda: viewer.frames, 20, "a frame")
        with laptop.running("start_stream_server.sh") as running:
            kill_at(running, step, everything)
        done = laptop.run("start_stream_server.sh", timeout_s=150)
        assert done.returncode == 0, done.stderr
        done_at = time.monotonic()
        wait_for(lambda: viewer.frames[-1][0] > done_at, 30, "frames")
    assert viewer.refused == 0
    assert healthy(host.server_port)
    names = sorted(path.name for path in (host.base / "releases").iterdir())
    assert not [name for name in names if name.startswith(".incoming")]
    assert len(names) <= 4


@pytest.mark.parametrize("everything", [False, True], ids=["script", "group"])
def test_a_tunnel_that_is_killed_is_followed_by_one_that_works(
    laptop: Laptop, serving: None, everything: bool
) -> None:
    port = free_port()
    with laptop.running("tunnel_to_stream.sh", "--port", str(port)) as running:
        kill_at(running, "the stream is reachable", everything)
    with laptop.running("tunnel_to_stream.sh", "--port", str(port)) as running:
        running.wait_said("the stream is reachable")
    wait_for(lambda: not list(Path(os.environ["TMPDIR"]).glob("turbo.*")), 15, "an empty TMPDIR")


def test_the_stream_is_back_after_20_s_without_the_sshd(
    host: Host, laptop: Laptop, serving: None
) -> None:
    port = free_port()
    with laptop.running("tunnel_to_stream.sh", "--port", str(port)) as running:
        running.wait_said("the stream is reachable")
        with Viewer(port) as viewer:
            wait_for(lambda: viewer.frames, 20, "a frame")
            host.kill()
            time.sleep(20)
            host.start()
            begun = time.monotonic()
            wait_for(lambda: viewer.frames[-1][0] > begun, 40, "frames")
            print(f"back {time.monotonic() - begun:.1f} s after the sshd")


def test_of_two_starts_at_once_the_second_waits_for_the_first(
    host: Host, laptop: Laptop, serving: None
) -> None:
    with laptop.running("start_stream_server.sh") as first:
        first.wait_said("waiting: ")
        second = laptop.run("start_stream_server.sh", timeout_s=150)
        assert first.process.wait(60) == 0, first.said
    assert second.returncode == 0, second.stderr
    assert "another start is in progress" in second.stderr
    assert healthy(host.server_port)


def test_replace_moves_the_stream_to_another_port(
    host: Host, laptop: Laptop, serving: None
) -> None:
    port, before = free_port(), host.server_port
    done = laptop.run("start_stream_server.sh", "--replace", SERVER_PORT=str(port), timeout_s=120)
    assert done.returncode == 0, done.stderr
    assert "first (--replace): the stream pauses" in done.stderr
    assert healthy(port)
    assert not answers(before)
    host.server_port = port
    laptop.environment["SERVER_PORT"] = str(port)


def test_a_website_rental_is_guarded_by_the_start(
    host: Host, laptop: Laptop, serving: None
) -> None:
    with standing_in(0, host.api_port) as api:
        rented = api.rent(api.offers[0], "website")
        host.rental.write_text(f"CONTAINER_ID={rented.id}\0CONTAINER_API_KEY={CONTAINER_KEY}\0")
        done = laptop.run("start_stream_server.sh", "--hours", "0.02", timeout_s=120)
        assert done.returncode == 0, done.stderr
        assert "armed: given back at" in done.stderr
        assert "change it: --hours, --idle-minutes, --no-guard" in done.stderr
        guard = host.status()["guard"]
        assert guard["armed"]
        assert "extend it now" in guard["message"]
        port = free_port()
        with laptop.running("tunnel_to_stream.sh", "--port", str(port)) as running:
            running.wait_said("WARNING: the instance is given back in .* minutes. Press e")
        wait_for(lambda: api.left == [], 90, "the end of the rental")
        host.rental.write_text("")


def test_a_loop_that_is_killed_is_replaced_by_the_next_start(
    host: Host, laptop: Laptop, serving: None
) -> None:
    host.end(r"loop\.sh")
    status = laptop.run("start_stream_server.sh", "--status")
    assert "loop      none: the server would not be restarted" in status.stdout
    old = psutil.Process(host.serving())
    done = laptop.run("start_stream_server.sh", timeout_s=120)
    assert done.returncode == 0, done.stderr
    old.wait(10)
    assert "loop      none" not in laptop.run("start_stream_server.sh", "--status").stdout


@pytest.mark.parametrize(
    "step",
    ["the cheapest", "renting offer", r"instance 7000, after", "reached at", "armed", "next:"],
)
def test_after_an_up_that_is_killed_down_finds_what_was_rented(
    vast: Vast, laptop: Laptop, step: str
) -> None:
    with laptop.running("deploy/vast.sh", "up", "--yes", **vast.environment) as running:
        kill_at(running, step, everything=True)
    time.sleep(1)  # requests on their way to the API arrive
    done = vast("down")
    assert done.returncode == 0, done.stderr
    again = vast("up", "--yes")
    assert again.returncode == 0, again.stderr
    assert vast("down").returncode == 0
