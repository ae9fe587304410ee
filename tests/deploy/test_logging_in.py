"""The scripts can log in wherever plain ssh can: keys, agents, ssh_config, jump hosts, folders."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.deploy.host import PATIENCE_S, USER, Host, keygen, wait_for
from tests.deploy.laptop import Laptop
from tests.deploy.terminal import at_terminal
from tests.ports import free_port

START = "start_stream_server.sh"
IN = "release   none is serving"


@contextmanager
def agent(folder: Path, *keys: Path) -> Iterator[str]:
    """An ssh-agent that holds these keys; its socket."""
    socket = folder / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    try:
        wait_for(socket.exists, PATIENCE_S, "the agent")
        environment = {**os.environ, "SSH_AUTH_SOCK": str(socket)}
        if keys:
            subprocess.run(["ssh-add", "-q", *keys], env=environment, check=True)
        yield str(socket)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@pytest.fixture
def home(laptop: Laptop, tmp_path: Path) -> Path:
    """Another laptop's home, without a key that the host accepts."""
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    return home


@pytest.fixture
def known(host: Host, laptop: Laptop, tmp_path: Path) -> Path:
    """A key that the host accepts, in an unusual place."""
    key = keygen(tmp_path / "known")
    host.allow(key)
    return key


@pytest.fixture
def jump(place: Path) -> Iterator[Host]:
    jump = Host(place / f"jump-{free_port()}")
    yield jump
    jump.close()


def status(laptop: Laptop, home: Path, **environment: str | None):
    return laptop.run(START, "--status", HOME=str(home), **environment)


def test_the_right_key_in_the_agent_is_offered_besides_a_wrong_default_file(
    laptop: Laptop, home: Path, known: Path, tmp_path: Path
) -> None:
    keygen(home / ".ssh/id_ed25519")
    with agent(tmp_path, known) as socket:
        done = status(laptop, home, SSH_AUTH_SOCK=socket)
    assert IN in done.stdout, done.stderr


def test_the_right_default_file_is_offered_after_eight_wrong_keys(
    host: Host, laptop: Laptop, home: Path, known: Path, tmp_path: Path
) -> None:
    shutil.copy(known, home / ".ssh/id_rsa")
    shutil.copy(known.with_suffix(".pub"), home / ".ssh/id_rsa.pub")
    with agent(tmp_path, *(keygen(tmp_path / f"wrong-{n}") for n in range(8))) as socket:
        done = status(laptop, home, SSH_AUTH_SOCK=socket)
    assert IN in done.stdout, done.stderr


def test_a_public_key_selects_a_private_one_that_only_the_agent_holds(
    laptop: Laptop, home: Path, known: Path, tmp_path: Path
) -> None:
    public = str(known.with_suffix(".pub"))
    with agent(tmp_path, *(keygen(tmp_path / f"w{n}") for n in range(8)), known) as socket:
        known.unlink()
        done = status(laptop, home, SSH_AUTH_SOCK=socket, SSH_KEY=public)
    assert IN in done.stdout, done.stderr
    without = status(laptop, home, SSH_KEY=public)
    assert f"{public} is a public key, and no agent holds the private one" in without.stderr
    assert without.returncode == 1


def test_a_public_key_selects_the_private_one_beside_it(
    laptop: Laptop, home: Path, known: Path
) -> None:
    done = status(laptop, home, SSH_KEY=f"{known}.pub")
    assert IN in done.stdout, done.stderr


def test_a_default_key_is_unlocked_once_those_without_passphrase_are_refused(
    host: Host, laptop: Laptop, home: Path
) -> None:
    host.allow(keygen(home / ".ssh/id_rsa", "it's right"))
    keygen(home / ".ssh/id_ed25519", "of another")
    asked = status(laptop, home)
    assert "has a passphrase: set PASSPHRASE, or ssh-add it to your agent first." in asked.stderr
    done = status(laptop, home, PASSPHRASE="it's right")
    assert IN in done.stdout, done.stderr
    wrong = status(laptop, home, PASSPHRASE="wrong")
    assert f"The passphrase does not unlock {home}/.ssh/id_" in wrong.stderr
    with at_terminal(laptop, START, "--status", HOME=str(home)) as terminal:
        terminal.wait_said("passphrase of .*id_")
        terminal.press("it's right\n")
        terminal.wait_said(IN)


def test_an_alias_keeps_the_port_the_user_and_the_key_of_ssh_config(
    host: Host, laptop: Laptop, home: Path, known: Path
) -> None:
    (home / ".ssh/config").write_text(
        f"Host gpu\n HostName 127.0.0.1\n Port {host.port}\n User {USER}\n IdentityFile {known}\n"
        " RemoteCommand tmux\n RequestTTY force\n"
    )
    nothing: dict[str, str | None] = {"SSH_PORT": None, "SSH_USER": None}
    done = status(laptop, home, SSH_HOST="gpu", **nothing)
    assert IN in done.stdout, done.stderr
    refused = status(laptop, home, SSH_HOST="gpu", SSH_PORT=str(free_port()), SSH_USER=None)
    assert "gpu answers, but nothing listens on port" in refused.stderr


def test_the_user_of_a_plain_address_is_root(laptop: Laptop, home: Path, known: Path) -> None:
    # Only the refusal of a key names the user.
    stranger = keygen(home / ".ssh/id_ed25519")
    done = status(laptop, home, SSH_USER=None, SSH_KEY=str(stranger))
    assert f"127.0.0.1 refuses the key {stranger} for root" in done.stderr


@pytest.mark.parametrize("how", ["pasted", "configured"])
def test_a_jump_host_is_used_or_named_in_the_error(
    host: Host, laptop: Laptop, home: Path, known: Path, jump: Host, how: str
) -> None:
    hops = home / "hops"
    config = (
        f"Host hop\n HostName 127.0.0.1\n Port {jump.port}\n User {USER}\n IdentityFile {known}\n"
    )
    config += f" UserKnownHostsFile {hops}\n"
    line = f"ssh -p{host.port} -J hop {USER}@127.0.0.1"
    if how == "configured":
        config += (
            f"Host gpu\n HostName 127.0.0.1\n ProxyJump hop\n Port {host.port}\n User {USER}\n"
        )
        line = "gpu"
    (home / ".ssh/config").write_text(config)
    jump.start()
    there: dict[str, str | None] = {
        "SSH_HOST": line, "SSH_PORT": None, "SSH_USER": None, "SSH_KEY": str(known)
    }  # fmt: skip
    unknown = status(laptop, home, **there)
    assert "The host key of the jump host hop is unknown: log in once" in unknown.stderr
    scan = ["ssh-keyscan", "-p", str(jump.port), "127.0.0.1"]
    hops.write_text(subprocess.run(scan, capture_output=True, text=True, check=True).stdout)
    refused = status(laptop, home, **there)
    assert "The jump host 127.0.0.1 refuses your keys" in refused.stderr, refused.stderr
    jump.allow(known)
    done = status(laptop, home, **there)
    assert IN in done.stdout, done.stderr


@pytest.mark.parametrize("name", ["a key", "100% a key"])
def test_home_and_tmpdir_may_contain_blanks(
    host: Host, laptop: Laptop, known: Path, tmp_path: Path, name: str
) -> None:
    home, temporary, started = (tmp_path / name for name in ("my home", "my tmp", "my folder"))
    for folder in (home / ".ssh", temporary, started):
        folder.mkdir(parents=True)
    key = home / ".ssh" / name
    shutil.copy(known, key)
    command = laptop.command(START, "--status")
    changes = {"HOME": str(home), "TMPDIR": str(temporary), "SSH_KEY": str(key)}
    done = subprocess.run(
        command, env=laptop.with_(changes), capture_output=True, text=True, cwd=started, timeout=60
    )
    assert IN in done.stdout, done.stderr
    assert "127.0.0.1" in (home / ".turbostream/known_hosts").read_text()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        "my folder", "my home", "my tmp"
    ]  # fmt: skip
    assert not list(started.iterdir())
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("size", [20, 5_000_000], ids=["escape", "5-MB"])
def test_output_of_the_host_can_neither_control_nor_flood_the_terminal(
    host: Host, laptop: Laptop, size: int
) -> None:
    (host.base / "server.log").write_bytes(
        b"first\n\x1b]0;owned\x07\x1b[2J\xc2\x9b31m\r" + b"A" * size + b"\nlast\n"
    )
    with at_terminal(laptop, START, "--logs") as terminal:
        terminal.wait_said("last", 60)
        shown = terminal.said
    (host.base / "server.log").unlink()
    assert re.search(r"\]0;owned", shown)
    assert not re.search("[\x1b\x07\x9b]", shown)
    assert len(shown) < 10_000
