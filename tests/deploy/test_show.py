"""From an empty folder on the instance to pictures on the laptop, and what can fail on the way.

One instance and one laptop for the whole file: the tests are the acts of one evening, in order.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.deploy.host import PATIENCE_S, Host, get, healthy, keygen, wait_for
from tests.deploy.laptop import Laptop, Running
from tests.deploy.searching import Search, files_with
from tests.deploy.watching import Viewer
from tests.ports import free_port

PASSPHRASE = "correct horse/battery'staple"
API_KEY = f"{secrets.token_hex(8)}-vast-account-key"  # other tests may run beside these

LONG_S = 60.0  # for what usually takes some seconds

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def started(host: Host, laptop: Laptop, place: Path) -> Search:
    """The first start: a key with a passphrase, an API key in the environment, an empty folder."""
    locked = keygen(place / "laptop/.ssh/locked", PASSPHRASE)
    host.allow(locked)
    typed = laptop.command("start_stream_server.sh")
    environment = {
        "SSH_KEY": str(locked),
        "PASSPHRASE": PASSPHRASE,
        "VAST_API_KEY": API_KEY,
        "INSTANCE_PYTHON": sys.executable,
    }
    with Search([PASSPHRASE, API_KEY], typed) as search:
        with laptop.running("start_stream_server.sh", **environment) as running:
            status = running.process.wait(150)
        assert status == 0, running.said
    return search


@pytest.fixture(scope="module")
def tunnel(laptop: Laptop, started: Search) -> Iterator[tuple[Running, int]]:
    port = free_port()
    with laptop.running("tunnel_to_stream.sh", "--port", str(port)) as running:
        running.wait_said("the stream is reachable")
        yield running, port


def set_prompt(port: int, prompt: str) -> dict:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/prompt",
        json.dumps({"prompt": prompt}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=15) as response:
        return json.load(response)


def loops(host: Host) -> list[psutil.Process]:
    """The loops, without their parent processes."""
    found = {process.pid: process for process in host.processes(r"loop\.sh")}
    with suppress(psutil.NoSuchProcess):
        return [process for process in found.values() if process.ppid() not in found]
    return loops(host)  # one of them has ended meanwhile


def test_the_first_start_serves_and_creates_the_links_of_the_guide(
    host: Host, started: Search
) -> None:
    assert healthy(host.server_port)
    assert (host.base / "realtime_stream.py").read_text().startswith("#!/usr/bin/env python3")
    log = (host.base / "server.log").read_text()
    for line in (
        "[init] model loaded and compiled",
        "[gen] starting loop...",
        "[flask] running on",
    ):
        assert line in log
    assert oct((host.base / "state").stat().st_mode)[-3:] == "700"


def test_pgrep_shows_the_server_as_in_the_guide(host: Host, started: Search) -> None:
    listed = subprocess.run(["pgrep", "-af", "python3"], capture_output=True, text=True).stdout
    assert f"{host.serving()} python3 realtime_stream.py\n" in listed


def test_no_secret_is_in_any_process_or_file(
    host: Host, laptop: Laptop, place: Path, started: Search
) -> None:
    assert started.scans > 20
    assert not started.found
    assert not files_with(place, [PASSPHRASE, API_KEY])
    assert not files_with(Path(os.environ["TMPDIR"]), [PASSPHRASE, API_KEY])


def test_through_the_tunnel_pictures_arrive_and_a_prompt_takes_effect(
    tunnel: tuple[Running, int],
) -> None:
    _, port = tunnel
    with Viewer(port) as viewer:
        wait_for(lambda: len(viewer.frames) >= 3, PATIENCE_S, "three frames")
        after = set_prompt(port, "a red heart")["frame"]
        wait_for(lambda: viewer.frames[-1][2] > after, PATIENCE_S, "a frame of the new words")
    assert get(port, "/status")["prompt"] == "a red heart"


def test_after_a_second_start_the_viewer_gets_new_frames_within_5_s(
    host: Host, laptop: Laptop, tunnel: tuple[Running, int], record_property
) -> None:
    _, port = tunnel
    old = host.serving()
    with Viewer(port) as viewer:
        wait_for(lambda: viewer.frames, PATIENCE_S, "a frame")
        since = time.monotonic()
        done = laptop.run("start_stream_server.sh", timeout_s=120)
        assert done.returncode == 0, done.stderr
        took = time.monotonic() - since
        wait_for(lambda: viewer.frames[-1][1] == 2, PATIENCE_S, "a frame of the new server")
        gap = viewer.longest_gap(since)
    record_property("gap_s", round(gap, 2))
    print(f"longest gap without a new frame: {gap:.2f} s")
    assert viewer.refused == 0
    assert gap < max(5, took / 3)  # the allowed gap grows with a slow machine
    assert host.serving() != old
    assert get(port, "/status")["prompt"] == "a red heart"  # the prompt was handed over
    wait_for(lambda: len(loops(host)) == 1, PATIENCE_S, "the end of the old loop")


def test_a_broken_release_does_not_affect_the_running_stream(
    host: Host, laptop: Laptop, tunnel: tuple[Running, int]
) -> None:
    _, port = tunnel
    program = laptop.scripts / "realtime_stream.py"
    good = program.read_text()
    with Viewer(port) as viewer:
        wait_for(lambda: viewer.frames, PATIENCE_S, "a frame")
        since, serving = time.monotonic(), host.serving()
        program.write_text(good + "\nthis is no python\n")
        try:
            done = laptop.run("start_stream_server.sh")
        finally:
            program.write_text(good)
        assert done.returncode == 1
        assert "SyntaxError" in done.stderr
        assert "is still serving" in done.stderr
        failed = time.monotonic()
        wait_for(lambda: viewer.frames[-1][0] > failed, PATIENCE_S, "frames")
        gap = viewer.longest_gap(since)
    assert viewer.connections == 1
    assert gap < max(5, (failed - since) / 3)
    assert host.serving() == serving


def test_a_server_that_is_killed_is_restarted_after_a_second(
    host: Host, tunnel: tuple[Running, int], record_property
) -> None:
    _, port = tunnel
    wait_for(lambda: healthy(port), PATIENCE_S, "health")
    killed = host.serving()
    begun = time.monotonic()
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: not psutil.pid_exists(killed), PATIENCE_S, "the end of the server")
    wait_for(lambda: healthy(port), 90, "health")
    took = time.monotonic() - begun
    record_property("back_after_s", round(took, 1))
    print(f"back after {took:.1f} s")
    log = (host.base / "server.log").read_text()
    assert log.count("[loop]") == log.count("with status 137: starting it again in 1 s.") == 1


def test_the_tunnel_reconnects_after_the_sshd_was_killed(
    host: Host, tunnel: tuple[Running, int]
) -> None:
    running, port = tunnel
    wait_for(lambda: healthy(port), PATIENCE_S, "health")
    before = len(running.said)
    host.kill()
    refused = r"nothing listens on port .* Trying again"
    wait_for(lambda: re.search(refused, running.said[before:]), PATIENCE_S, "it")
    host.start()
    wait_for(lambda: healthy(port), LONG_S, "health through the tunnel")
    back = refused + r"(?s:.)*the stream is reachable"
    wait_for(lambda: re.search(back, running.said[before:]), PATIENCE_S, "the word")


def test_status_shows_what_is_running(host: Host, laptop: Laptop, started: Search) -> None:
    done = laptop.run("start_stream_server.sh", "--status")
    assert done.returncode == 0, done.stderr
    assert re.search(
        rf"release +\S+ \(process {host.serving()}, port {host.server_port}", done.stdout
    )
    assert "guard     none: nothing ends this rental but you" in done.stdout


def test_logs_follow_the_serving_release(laptop: Laptop, started: Search) -> None:
    with laptop.running("start_stream_server.sh", "--logs") as running:
        running.wait_said(r"\[flask\] running on")


def test_a_rollback_serves_the_release_before(host: Host, laptop: Laptop, started: Search) -> None:
    previous = os.readlink(host.base / "previous")
    done = laptop.run("start_stream_server.sh", "--rollback", timeout_s=120)
    assert done.returncode == 0, done.stderr
    assert os.readlink(host.base / "current") == previous
    assert Path(f"/proc/{host.serving()}/cwd").resolve() == (host.base / previous).resolve()


def test_a_port_that_the_user_changes_is_not_handed_over(laptop: Laptop, started: Search) -> None:
    port = free_port()
    done = laptop.run("start_stream_server.sh", SERVER_PORT=str(port))
    assert done.returncode == 1
    assert f"cannot be handed over to port {port}: use --replace" in done.stderr


def test_a_start_without_memory_for_two_engines_is_refused(
    host: Host, laptop: Laptop, started: Search
) -> None:
    host.fake_program("nvidia-smi", 'case "$*" in *memory.free*) echo "900, 7000" ;; esac')
    done = laptop.run("start_stream_server.sh")
    (host.fake / "nvidia-smi").unlink()
    assert done.returncode == 1
    assert "uses 7000 MB and 900 MB are free. Use --replace" in done.stderr


def test_stop_ends_server_and_loop(host: Host, laptop: Laptop, started: Search) -> None:
    server = host.serving()
    done = laptop.run("start_stream_server.sh", "--stop")
    assert not psutil.pid_exists(server)
    assert done.returncode == 0
    assert "stopped" in done.stderr
    wait_for(lambda: not host.processes(r"loop\.sh|realtime_stream"), PATIENCE_S, "their end")


def test_the_tunnel_reports_that_no_server_answers_and_ctrl_c_removes_everything(
    laptop: Laptop, tunnel: tuple[Running, int]
) -> None:
    running, _ = tunnel
    running.wait_said("no server answers behind the tunnel: run ./start_stream_server.sh")
    children = psutil.Process(running.process.pid).children(recursive=True)
    assert running.end(signal.SIGINT) == 130
    _, alive = psutil.wait_procs(children, 8)  # an agent that is left running ends after 10 s
    assert not alive
    left = [path.name for path in (laptop.home / ".turbostream").iterdir()]
    assert left == ["known_hosts"]
