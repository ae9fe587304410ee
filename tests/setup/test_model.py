"""The model from a hub: the bar, a lost connection, and the messages when it is unavailable."""

from __future__ import annotations

import os
import re
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.deploy.terminal import Terminal
from tests.disks import mounted
from tests.setup.hub import REPOSITORY, Hub, environment_of, serve
from tests.setup.machine import ROOT

DEMO = ROOT / "turbostream/demo_model"
UNET = "unet/diffusion_pytorch_model.safetensors"
UNET_MB = round((DEMO / UNET).stat().st_size / 1e6)
MODEL_MB = round(sum(file.stat().st_size for file in DEMO.rglob("*") if file.is_file()) / 1e6)
PIECE = 10 * 1024 * 1024  # huggingface_hub writes pieces of that size
FETCH = f"""
import logging
import sys
logging.basicConfig(level=logging.INFO)
from turbostream.engine import weights
from turbostream.engine.weights import hub
from turbostream.start_screen import StartScreen
hub.fetch(weights.find({REPOSITORY!r}, "cpu"), StartScreen(sys.stderr, "[init]"))
"""


@pytest.fixture
def hub() -> Hub:
    return Hub(DEMO)


@pytest.fixture
def environment(hub: Hub, tmp_path: Path) -> Iterator[dict[str, str]]:
    with serve(hub) as address:
        yield environment_of(address, tmp_path / "cache")


def fetch(environment: dict[str, str], *before: str) -> tuple[int, str]:
    command = [*before, sys.executable, "-c", FETCH]
    done = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=110
    )
    return done.returncode, done.stderr


def test_the_model_is_fetched_with_a_bar_and_resumed_after_a_lost_connection(
    hub: Hub, environment: dict[str, str]
) -> None:
    hub.drop[UNET] = [PIECE + 500_000]
    terminal = Terminal([sys.executable, "-c", FETCH], environment | {"PYTHONPATH": str(ROOT)})
    try:
        said = f"Downloading somebody/model: %s of {MODEL_MB} MB"
        terminal.wait_said(r"\[init\] \[#+\.+\] " + said % r"\d+", 90)
        terminal.wait_said(r"\[init\] \[#{30}\] " + said % MODEL_MB, 60)
        assert terminal.process.wait(60) == 0
    finally:
        terminal.close()
    first, second = [begin for name, begin in hub.fetched if name == UNET]
    assert "HTTP Request" not in terminal.said
    shown = [int(text) for text in re.findall(rf"(\d+) of {MODEL_MB} MB", terminal.said)]
    assert shown.count(MODEL_MB) <= 2  # it counts the received bytes, and is full only at the end
    assert first == 0
    assert second == PIECE


def test_a_lasting_loss_of_connection_ends_it_and_the_next_run_fetches_only_the_rest(
    hub: Hub, environment: dict[str, str]
) -> None:
    hub.drop[UNET] = [PIECE + 500_000] + [0] * 6
    status, said = fetch(environment)
    assert status == 1
    assert "somebody/model cannot be downloaded (" in said
    assert "a local folder as MODEL_ID, or a mirror of the hub as HF_ENDPOINT" in said
    hub.drop.clear()
    hub.fetched.clear()
    status, said = fetch(environment)
    assert status == 0, said
    assert hub.fetched == [(UNET, 0)]
    assert f"[init] Downloading somebody/model: {UNET_MB} of {UNET_MB} MB." in said


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (401, "somebody/model is gated at http://127.0.0.1:"),
        (404, " has no model somebody/model: correct MODEL_ID"),
    ],
)
def test_a_model_that_the_hub_refuses_is_reported(
    hub: Hub, environment: dict[str, str], status: int, sentence: str
) -> None:
    hub.status = status
    code, said = fetch(environment)
    assert code == 1
    assert sentence in said
    assert "HF_TOKEN" in said


@pytest.mark.parametrize(("status", "page"), [(429, b""), (500, b""), (200, b"<html>Log in")])
def test_a_hub_that_does_not_answer_properly_is_one_sentence_and_leaves_nothing_in_the_way(
    hub: Hub, environment: dict[str, str], status: int, page: bytes
) -> None:
    hub.status, hub.page = status, page
    code, said = fetch(environment)
    assert code == 1
    last = said.strip().splitlines()[-1]
    assert "EngineUnavailable: somebody/model cannot be downloaded (" in last
    assert last.endswith("a mirror of the hub as HF_ENDPOINT.")
    hub.status, hub.page = 200, b""
    code, said = fetch(environment)
    assert code == 0, said


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
def test_a_download_that_a_full_disk_ends_near_its_end_goes_on_in_the_next_run(
    environment: dict[str, str],
) -> None:
    total = sum(file.stat().st_size for file in DEMO.rglob("*") if file.is_file())
    with mounted(Path(environment["HF_HOME"]), f"size={total * 9 // 10}") as disk:
        code, said = fetch(environment)
        assert code == 1
        assert "where somebody/model is stored, is full" in said
        subprocess.run(["mount", "-o", "remount,size=64m", disk.folder], check=True)
        code, said = fetch(environment)
        assert code == 0, said


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
def test_a_disk_that_fills_up_is_reported(environment: dict[str, str]) -> None:
    cache = Path(environment["HF_HOME"])
    cache.mkdir()
    mount = f'mount -t tmpfs -o size=4m none {cache}; exec "$@"'
    code, said = fetch(environment, "unshare", "--mount", "sh", "-ec", mount, "sh")
    assert code == 1
    assert f"The disk with {cache}/hub, where somebody/model is stored, is full" in said


class Socks:
    """A SOCKS5 proxy without authentication (RFC 1928); where it was asked to connect."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        socks = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                socks.answer(self)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = False

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]

    def answer(self, handler: socketserver.StreamRequestHandler) -> None:
        _, methods = handler.rfile.read(2)
        handler.rfile.read(methods)
        handler.wfile.write(b"\x05\x00")
        _, _, _, kind = handler.rfile.read(4)
        if kind == 1:
            host = socket.inet_ntoa(handler.rfile.read(4))
        else:
            host = handler.rfile.read(handler.rfile.read(1)[0]).decode()
        port = int.from_bytes(handler.rfile.read(2), "big")
        self.asked.append((host, port))
        with socket.create_connection((host, port)) as there:
            handler.wfile.write(b"\x05\x00\x00\x01" + bytes(6))
            forth = threading.Thread(target=relay, args=(handler.connection, there))
            forth.start()
            relay(there, handler.connection)
            forth.join(30)


def relay(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@pytest.fixture
def socks() -> Iterator[Socks]:
    socks = Socks()
    thread = threading.Thread(target=lambda: socks.server.serve_forever(0.05), name="socks")
    thread.start()
    yield socks
    socks.server.shutdown()
    socks.server.server_close()
    thread.join(30)


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_the_model_is_fetched_through_a_socks_proxy(
    environment: dict[str, str], socks: Socks, scheme: str
) -> None:
    proxy = {"ALL_PROXY": f"{scheme}://127.0.0.1:{socks.port}", "NO_PROXY": "", "no_proxy": ""}
    status, said = fetch(environment | proxy)
    assert status == 0, said
    hub_port = int(environment["HF_ENDPOINT"].rpartition(":")[2])
    assert {port for _, port in socks.asked} >= {hub_port}


@pytest.mark.parametrize(
    ("name", "proxy"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:x"),
        ("all_proxy", "socks4://127.0.0.1:1"),
        ("https_proxy", "://"),
        ("HTTP_PROXY", "socks5://[::1"),
    ],
)
def test_an_unusable_proxy_is_reported_in_one_sentence(
    environment: dict[str, str], name: str, proxy: str
) -> None:
    status, said = fetch(environment | {name: proxy})
    assert status == 1
    last = said.strip().splitlines()[-1]
    assert "EngineUnusable: somebody/model cannot be downloaded (the proxy in " in last
    assert f"{name.upper()} cannot be used, correct or unset it: " in last
