"""--share: a link is printed only if it opens for somebody else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.server import ROOT
from turbostream.settings import SettingError, Settings, load
from turbostream.web.auth import share_link as share
from turbostream.web.auth.share_link import link
from turbostream.web.auth.tokens import TokensUnusable, load_tokens


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        target_fps=1, initial_prompt="x", model_id="demo", server_port=8000, state_dir=tmp_path,
        server_host="0.0.0.0",
    )  # fmt: skip


def test_a_link_carries_its_token_in_the_fragment(settings: Settings, tmp_path: Path) -> None:
    named = replace(settings, public_address="stream.example:80")
    tokens = load_tokens(tmp_path)
    assert link(named, "watch") == f"http://stream.example:80/#{tokens.watch}"
    assert link(named, "own") == f"http://stream.example:80/#{tokens.owner}"
    elsewhere = link(settings, "watch")
    assert elsewhere.endswith(f":8000/#{tokens.watch}")
    assert not elsewhere.startswith(("http://0.0.0.0", "http://127."))


def test_a_link_to_one_channel_carries_its_name_and_its_token(
    settings: Settings, tmp_path: Path
) -> None:
    named = replace(settings, public_address="stream.example:80")
    left = load_tokens(tmp_path).of_channel("left")
    assert link(named, "watch", "left") == f"http://stream.example:80/?channel=left#{left.watch}"
    assert link(named, "own", "left") == f"http://stream.example:80/?channel=left#{left.owner}"


def test_links_from_this_machine_name_the_address_by_which_others_reach_the_server(
    settings: Settings, tmp_path: Path
) -> None:
    tokens = load_tokens(tmp_path)

    def view(asked: str, **changed: object) -> str:
        given = replace(settings, **changed)  # type: ignore[arg-type]
        return share.channel_links(given, tokens, "left", asked)["view"].partition("/?")[0]

    outward = share.outward_address()
    assert view("http://localhost:8888") == f"http://{outward}:8000", "through the tunnel"
    assert view("https://stream.example") == "https://stream.example"
    assert view("http://[::1]:8000", public_address="p.example:80") == "http://p.example:80"
    with pytest.raises(TokensUnusable, match=r"--server-host 0\.0\.0\.0"):
        view("http://127.0.0.1:8000", server_host="127.0.0.1")


@pytest.mark.parametrize("name", ["", "a/b", "Left", "x" * 300, "a#b", "left&channel=main"])
def test_no_link_is_printed_to_a_channel_that_cannot_exist(settings: Settings, name: str) -> None:
    with pytest.raises(TokensUnusable, match=r"^A channel's name has 1 to 32 .*\.$"):
        link(replace(settings, public_address="stream.example"), "own", name)


def test_a_channel_without_a_link_is_one_sentence() -> None:
    defaults = {"TARGET_FPS": 1, "INITIAL_PROMPT": "x", "MODEL_ID": "demo", "SERVER_PORT": 0}
    with pytest.raises(SettingError, match=r"^--channel limits a link; .*--share own .*\.$"):
        load(defaults, ["--channel", "left"], {})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2", "::1"])
def test_no_link_is_printed_to_a_server_that_listens_on_this_machine_only(
    settings: Settings, host: str
) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        local = replace(settings, server_host=host, server_port=port)
        with pytest.raises(TokensUnusable, match=r"--server-host 0\.0\.0\.0"):
            link(local, "watch")


def test_share_finds_a_server_that_listens_on_all_addresses(
    settings: Settings,
) -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        local = replace(settings, server_host="127.0.0.1", server_port=port)
        assert f":{port}/#" in link(local, "watch")


def test_no_link_is_printed_with_tokens_that_end_with_the_command(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    unwritable = replace(settings, state_dir=tmp_path / "file" / "state")
    with pytest.raises(TokensUnusable, match="give a writable STATE_DIR"):
        link(unwritable, "watch")


def test_the_link_uses_the_address_that_the_server_listens_on(settings: Settings) -> None:
    assert link(replace(settings, server_host="192.0.2.9"), "watch").startswith(
        "http://192.0.2.9:8000/#"
    )
    assert link(replace(settings, server_host="2001:db8::9"), "watch").startswith(
        "http://[2001:db8::9]:8000/#"
    )


def test_share_without_a_server_prints_one_sentence_and_ends_with_2(tmp_path: Path) -> None:
    command = [sys.executable, "realtime_stream.py", "--share", "--server-port", str(free_port())]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "STATE_DIR": str(tmp_path)}, timeout=60,
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert share.outward_address() in done.stderr
