"""What the bridge sends, merges, drops and says, without a tunnel."""

from __future__ import annotations

import ast
import json
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.control.sending import bundle, message, send
from tests.deploy.bridging import READY, Bridge, controlled
from tests.deploy.host import PATIENCE_S, ROOT, wait_for
from tests.deploy.test_tunnel_answers import answering
from tests.ports import free_port

FILES = ("osc_bridge.py", "control_socket.py")


@pytest.mark.parametrize("size", [0, 1, 100, 125, 126, 1000, 65_400])
def test_a_datagram_of_any_size_arrives_unchanged(tmp_path: Path, size: int) -> None:
    port, datagram = free_port(), bytes(number % 251 for number in range(size))
    with controlled(port) as control, Bridge(tmp_path, port) as bridge:
        bridge.wait_said(READY)
        send(bridge.udp_port, datagram)
        control.wait_for(datagram)
        assert control.paths == ["/control"]


def test_of_a_flood_the_newest_of_each_address_arrives(tmp_path: Path) -> None:
    port = free_port()
    flood = [
        datagram
        for number in range(1, 3001)
        for datagram in (
            message("/speed", ("f", number / 1000)),
            bundle(message("/weight_1", ("i", number)), message("/weight_2", ("i", number))),
        )
    ]
    last = flood[-2:]
    with controlled(port) as control, Bridge(tmp_path, port) as bridge:
        bridge.wait_said(READY)
        for start in range(0, len(flood), 50):
            send(bridge.udp_port, *flood[start : start + 50])
            time.sleep(0.005)  # 10,000 a second
        wait_for(lambda: set(last) <= set(control.frames), PATIENCE_S, "the newest")
        assert len(control.frames) < len(flood) / 4


def test_a_press_is_not_lost_to_its_release(tmp_path: Path) -> None:
    port = free_port()
    with controlled(port) as control, Bridge(tmp_path, port) as bridge:
        bridge.wait_said(READY)
        for kind, pressed, released in (("f", 1.0, 0.0), ("i", 1, 0), ("T", True, False)):
            press = message("/tap", (kind, pressed))
            release = message("/tap", ("F" if kind == "T" else kind, released))
            send(bridge.udp_port, press, release, press, release)
            wait_for(lambda end=release: control.frames[-1:] == [end], PATIENCE_S, "the release")
            assert press in control.frames


def test_a_server_that_does_not_read_gets_the_newest_later(tmp_path: Path) -> None:
    port = free_port()
    large = bundle(message("/prompt", ("s", "x" * 60_000)))
    with controlled(port) as control, Bridge(tmp_path, port) as bridge:
        bridge.wait_said(READY)
        control.may_read.clear()
        for number in range(300):  # 18 MB: more than the buffers between them hold
            send(bridge.udp_port, message(f"/a{number % 2}", ("i", number)) + large)
            time.sleep(0.002)
        newest = message("/speed", ("f", 0.5))
        send(bridge.udp_port, newest)
        control.may_read.set()
        wait_for(lambda: newest in control.frames, PATIENCE_S, "the newest")
        assert len(control.frames) < 300


def test_what_a_lost_connection_delayed_for_long_is_dropped(tmp_path: Path) -> None:
    port = free_port()
    late, fresh = message("/undo"), message("/speed", ("f", 0.5))
    with Bridge(tmp_path, port) as bridge:
        send(bridge.udp_port, late)
        time.sleep(1.2)  # longer than a message may be late
        with controlled(port) as control:
            bridge.wait_said(READY)
            send(bridge.udp_port, fresh)
            control.wait_for(fresh)
            assert late not in control.frames
        with controlled(port) as control:
            bridge.wait_said(READY, times=2)
            send(bridge.udp_port, fresh)
            control.wait_for(fresh)


def test_pings_are_answered(tmp_path: Path) -> None:
    port = free_port()
    with controlled(port) as control, Bridge(tmp_path, port) as bridge:
        bridge.wait_said(READY)
        wait_for(lambda: control.connections, PATIENCE_S, "the connection")
        assert control.connections[0].ping().wait(PATIENCE_S)


def test_what_the_server_refuses_is_said_once(tmp_path: Path) -> None:
    port = free_port()
    error = json.dumps({"error": "/speed: The speed must be\x1b[31m a number."})
    with controlled(port, lambda frame: error) as control, Bridge(tmp_path, port) as bridge:
        bridge.wait_said(READY)
        for number in range(3):
            send(bridge.udp_port, message("/speed", ("f", 99.0 + number)))
            wait_for(lambda count=number: len(control.frames) > count, PATIENCE_S, "a frame")
        bridge.wait_said("[tunnel_to_stream] OSC: /speed: The speed must be?[31m a number.\n")
        assert bridge.said.count("The speed") == 1
        assert "an error" not in bridge.said


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": "This link is view-only."}', "(200 OK): This link is view-only.\n"),
        (b"<html>", "(200 OK): update it with ./start_stream_server.sh if it is older"),
        (b'["error"]', "(200 OK): update it"),
    ],
)
def test_a_server_that_refuses_is_reported(tmp_path: Path, body: bytes, said: str) -> None:
    port = free_port()
    with answering(port, {"/control": body}), Bridge(tmp_path, port) as bridge:
        bridge.wait_said(f"[tunnel_to_stream] OSC: the server refuses the connection {said}")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\0" * 100, id="zeros"),
        pytest.param(b"HTTP/1.1 101 Switching\r\n\r\n", id="no-accept"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="half"),
        pytest.param(b"x" * 10**6, id="endless"),
    ],
)
def test_a_peer_that_is_no_server_does_not_end_it(tmp_path: Path, data: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        port = listener.getsockname()[1]
        with Bridge(tmp_path, port) as bridge:
            peer, _ = listener.accept()
            with peer:
                peer.recv(65536)
                peer.settimeout(PATIENCE_S)
                with suppress(OSError):  # it has read enough
                    peer.sendall(data)
            if b"101" not in data:
                listener.accept()[0].close()  # it tries again
            assert bridge.process.poll() is None
            assert "Traceback" not in bridge.said


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        with Bridge(tmp_path, free_port(), udp_port=port) as bridge:
            assert bridge.process.wait(PATIENCE_S) == 1
    assert bridge.said == (
        f"[tunnel_to_stream] OSC: the UDP port {port} is unavailable (Address already in use): "
        "stop the program that uses it, or give --osc another port.\n"
    )


def test_it_ends_with_the_process_that_started_it() -> None:
    code = (
        "import os, subprocess, sys; subprocess.Popen([sys.executable, sys.argv[1], "
        "str(os.getpid()), *sys.argv[2:]])"
    )
    ports = [str(free_port()), str(free_port())]
    command = [sys.executable, "-c", code, str(ROOT / "deploy/osc_bridge.py"), *ports]
    # It returns when all have ended that hold its output.
    started = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert (started.returncode, started.stderr) == (0, "")


@pytest.mark.parametrize("name", FILES)
def test_it_uses_python_3_8_and_its_standard_library_only(name: str) -> None:
    text = (ROOT / "deploy" / name).read_text()
    tree = ast.parse(text, feature_version=(3, 8))
    assert "from __future__ import annotations\n" in text
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {found.name.partition(".")[0] for found in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).partition(".")[0])
    assert imported <= sys.stdlib_module_names | {Path(one).stem for one in FILES}
