"""tunnel_to_stream.sh --osc: datagrams on the laptop change the scene on the instance."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.control.sending import message, send
from tests.deploy.bridging import READY
from tests.deploy.host import PATIENCE_S, Host, get, path_without, wait_for
from tests.deploy.laptop import Laptop
from tests.ports import free_port
from tests.robustness.conftest import Program

TUNNEL = "tunnel_to_stream.sh"


@pytest.fixture(scope="module")
def program(host: Host, place: Path) -> Iterator[Program]:
    with Program("sound", place / "program-state", port=host.server_port) as program:
        yield program.wait_until_healthy()


def bridges(laptop: Laptop) -> list[psutil.Process]:
    """The bridges that run on this laptop."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if str(laptop.scripts / "deploy/osc_bridge.py") in process.cmdline():
                found.append(process)
    return found


def brightness(program: Program) -> float:
    return float(get(program.port, "/scene")["brightness"])


def test_datagrams_reach_the_scene_and_refusals_the_terminal(
    laptop: Laptop, program: Program
) -> None:
    port, osc = str(free_port()), free_port()
    with laptop.running(TUNNEL, "--port", port, "--osc", str(osc)) as tunnel:
        tunnel.wait_said(READY)
        for number in range(1, 6):
            send(osc, message("/brightness", ("f", number / 10)))
            wait_for(lambda want=number / 10: brightness(program) == want, PATIENCE_S, "the scene")
        send(osc, message("/brightness", ("f", 99.0)))
        tunnel.wait_said("OSC: /brightness: The brightness must be a number from 0 to 1.")
        assert brightness(program) == 0.5
        assert len(bridges(laptop)) == 1
        assert tunnel.end() == 130
    assert not bridges(laptop)
    assert "Traceback" not in tunnel.said


def test_it_works_again_after_the_sshd_was_away(
    host: Host, laptop: Laptop, program: Program
) -> None:
    osc = free_port()
    with laptop.running(TUNNEL, "--port", str(free_port()), "--osc", str(osc)) as tunnel:
        tunnel.wait_said(READY)
        host.kill()
        tunnel.wait_said("Trying again in")
        send(osc, message("/brightness", ("f", 0.9)))
        host.start()
        tunnel.wait_said(f"(?s){READY}.*{READY}")
        send(osc, message("/brightness", ("f", 0.7)))
        wait_for(lambda: brightness(program) == 0.7, PATIENCE_S, "the scene")


def test_a_restarted_server_is_found_again(host: Host, laptop: Laptop, place: Path) -> None:
    osc, port = free_port(), free_port()
    environ = {"SERVER_PORT": str(port)}
    with laptop.running(TUNNEL, "--port", str(free_port()), "--osc", str(osc), **environ) as tunnel:
        for count in (1, 2):
            with Program("sound", place / "other-state", port=port) as program:
                tunnel.wait_said("(?s)" + ".*".join([READY] * count))
                send(osc, message("/brightness", ("f", count / 10)))
                wait_for(lambda want=count / 10: brightness(program) == want, 30, "the scene")


@pytest.mark.parametrize("everything", [False, True], ids=["script", "group"])
def test_a_killed_tunnel_leaves_no_bridge(
    laptop: Laptop, program: Program, everything: bool
) -> None:
    with laptop.running(TUNNEL, "--port", str(free_port()), "--osc", str(free_port())) as tunnel:
        tunnel.wait_said(READY)
        if everything:
            os.killpg(tunnel.process.pid, signal.SIGKILL)
        else:
            tunnel.process.kill()
        wait_for(lambda: not bridges(laptop), PATIENCE_S, "the end of the bridge")
    for process in psutil.process_iter():  # the ssh that it left, which the next run would end
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if str(laptop.home) in " ".join(process.cmdline()) and process.name() == "ssh":
                process.kill()


def test_a_taken_udp_port_ends_it_with_one_sentence(laptop: Laptop, program: Program) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        osc = holder.getsockname()[1]
        done = laptop.run(TUNNEL, "--port", str(free_port()), "--osc", str(osc))
    assert done.returncode == 1
    assert f"OSC: the UDP port {osc} is unavailable (Address already in use): stop" in done.stderr


def test_without_python_the_option_says_what_to_install(laptop: Laptop, tmp_path: Path) -> None:
    pythons = {
        path.name
        for folder in os.environ["PATH"].split(":")
        for path in Path(folder).glob("python*")
    }
    found = path_without(tmp_path / "bin")
    for name in pythons:
        (tmp_path / "bin" / name).unlink(missing_ok=True)
    done = laptop.run(TUNNEL, "--port", str(free_port()), "--osc", "9000", PATH=found)
    assert done.returncode == 1
    assert "--osc needs Python 3.8 or newer on this computer: install python3." in done.stderr


@pytest.mark.parametrize("port", ["", "0", "x", "-1", "123456"])
def test_an_osc_port_that_is_none(laptop: Laptop, port: str) -> None:
    done = laptop.run(TUNNEL, "--osc", port)
    assert done.returncode == 2
    assert "--osc needs a number from 1 to 65535." in done.stderr
