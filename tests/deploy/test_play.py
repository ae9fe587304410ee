"""deploy/vast.sh play and the commands beside it: one rental from the first question to the last.

The tests are the acts of one evening at a terminal, in order.
"""

from __future__ import annotations

import os
import re
import signal
import urllib.request
from pathlib import Path

import psutil
import pytest

from tests.deploy.host import PATIENCE_S, Host, wait_for
from tests.deploy.laptop import Laptop
from tests.deploy.renting import Vast
from tests.deploy.standin import StandIn
from tests.deploy.terminal import CTRL_C, at_terminal
from tests.deploy.watching import Viewer
from tests.ports import free_port

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def browser(laptop: Laptop) -> Path:
    """A browser that only records the address that it was given."""
    fakes = laptop.home / "fakes"
    fakes.mkdir(exist_ok=True)
    program = fakes / "xdg-open"
    program.write_text(f'#!/bin/sh\necho "$1" >>{fakes}/opened\n')
    program.chmod(0o755)
    laptop.environment["PATH"] = f"{fakes}:{laptop.environment['PATH']}"
    return fakes / "opened"


def opened(link: str, address: str, port: int) -> int:
    """The HTTP status of /status for a client at `address` with the link's token."""
    token = re.fullmatch(rf"http://{address}/#([\w-]{{22,}})", link.strip())
    assert token, link
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/status",
        headers={"Host": address, "Authorization": f"Bearer {token[1]}"},
    )
    with urllib.request.urlopen(request, timeout=15) as response:
        return response.status


def tunnels(port: int) -> list[psutil.Process]:
    """The processes of a tunnel at that port."""
    words = psutil.process_iter(["cmdline"])
    return [p for p in words if any(f":{port}:" in word for word in p.info["cmdline"] or ())]


def test_play_rents_starts_and_tunnels_and_ctrl_c_asks_whether_to_give_it_back(
    vast: Vast, stand_in: StandIn, host: Host, laptop: Laptop, browser: Path
) -> None:
    # The tunnel of play is the one on port 8888, which this machine's user may need.
    tunnel = laptop.scripts / "tunnel_to_stream.sh"
    port = free_port()
    tunnel.write_text(tunnel.read_text().replace("port=8888", f"port={port}"))
    host.rental.write_text(
        f"{host.rental.read_text()}PUBLIC_IPADDR=198.51.100.7\0"
        f"VAST_TCP_PORT_{host.server_port}=41234\0"
    )
    with at_terminal(laptop, "deploy/vast.sh", "play", **vast.environment) as play:
        play.wait_said(r"Rent it\? \[Y/n\]")
        assert stand_in.instances == {}
        play.press("\n")
        play.wait_said("armed: given back at")
        play.wait_said("the stream is reachable", 100)
        with Viewer(port) as viewer:
            wait_for(lambda: len(viewer.frames) >= 3, PATIENCE_S, "three frames")
        wait_for(lambda: browser.exists() and browser.read_text(), PATIENCE_S, "the browser")
        assert browser.read_text() == f"http://localhost:{port}/\n"
        assert tunnels(port)

        before = host.status()["guard"]["ends_at"]  # half an hour from now: nobody watches
        play.press("e")
        play.wait_said("another hour was requested")
        wait_for(lambda: host.status()["guard"]["ends_at"] > before + 1500, PATIENCE_S, "the hour")

        link = vast("link")
        assert opened(link.stdout, "127.0.0.1:41234", host.server_port) == 200, link.stderr
        own = vast("link", "--own").stdout
        assert own != link.stdout
        assert opened(own, "127.0.0.1:41234", host.server_port) == 200
        left = vast("link", "--own", "--channel", "left")
        assert left.stdout.startswith("http://127.0.0.1:41234/?channel=left#"), left.stderr

        # Run on the instance, it uses the release's tokens and the mapped port.
        typed = ["run", "python3", f"{host.base}/realtime_stream.py", "--share", "own"]
        shared = laptop.run("deploy/remote.sh", *typed).stdout
        assert shared == own.replace("127.0.0.1:41234", "198.51.100.7:41234")

        host.fake_program("nvidia-smi", 'echo "a card: $#"')
        with laptop.running("deploy/vast.sh", "logs", **vast.environment) as logs:
            logs.wait_said("a card: 0")
            logs.wait_said(r"\[flask\] running on")
            os.killpg(logs.process.pid, signal.SIGINT)
            assert logs.process.wait(PATIENCE_S) == 130
        (host.fake / "nvidia-smi").unlink()

        with at_terminal(laptop, "deploy/vast.sh", "ssh", **vast.environment) as shell:
            shell.press("echo $((6 * 7)) in $HOME; exit 3\n")
            shell.wait_said(f"42 in {host.home}")
            assert shell.process.wait(PATIENCE_S) == 3

        play.press(CTRL_C)
        play.wait_said(r"Give the instance back now\? \[Y/n\]")
        wait_for(play.echoes, PATIENCE_S, "a terminal that shows what is typed")
        play.press("n\n")
        assert play.process.wait(PATIENCE_S) == 130
    assert "INSTANCE 7000 IS KEPT AND BILLED: deploy/vast.sh down gives it back." in play.said
    assert stand_in.left == [7000]
    assert not tunnels(port)

    # Again, without a terminal and with a start that fails: resumed, and given back without asking.
    again = vast("play", INSTANCE_PYTHON="/nowhere")
    assert again.returncode == 1
    assert "INSTANCE_PYTHON is /nowhere, which does not exist or cannot be run." in again.stderr
    assert "instance 7000 is gone" in again.stderr
    assert "what is rented" not in again.stderr
    assert len(stand_in.instances) == 1
