"""Start, tunnel, restart and stop on each kind of host.

Start, tunnel, status, logs, a second start while viewing, stop; by the lines that are printed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.host import PATIENCE_S, Host, get, healthy, keygen, wait_for
from tests.deploy.laptop import Laptop
from tests.deploy.other_hosts import AUTO_TMUX, NOISE, NOISY, Kind, OtherHost
from tests.deploy.watching import Viewer
from tests.ports import free_port

START, TUNNEL = "start_stream_server.sh", "tunnel_to_stream.sh"
PROMPT = 'grüner "Stern" it\'s\nheller'
# What must not be shown: output of the login shell, terminal codes, errors of the shells.
ODD = re.compile(rf"{NOISE}|\r|\x1b|Traceback|syntax error|: line \d+:|[Nn]o such file|not found")

# Each starts two servers, so differences that concern separate steps share a host.
KINDS = {
    "user-with-a-space-behind-a-jump": Kind(user="tester", home="ho me", base="work space"),
    "noisy-login-after-eight-wrong-keys": Kind(startup=NOISY, sshd="MaxAuthTries 3\n"),
    "auto-tmux-on-a-bare-machine": Kind(startup=AUTO_TMUX, lacks=("curl", "rsync", "ps", "ss")),
    "dash-in-the-C-locale-below-one-that-reaps-nobody": Kind(
        shell="/bin/dash", environment={"LC_ALL": "C"}, reaps=False
    ),
    "dropbear": Kind(dropbear=True, startup=NOISY),
}

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="mounts need root"),
    pytest.mark.timeout(300),
]


@pytest.fixture
def place() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="turbo-test-", dir="/tmp"))
    folder.chmod(0o755)  # another user of the host must be able to enter it
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def host(place: Path, kind: str) -> Iterator[OtherHost]:
    if KINDS[kind].dropbear and not shutil.which("dropbear"):
        pytest.fail("dropbear-bin is missing: ./setup.sh --dev --servers")
    host = OtherHost(place / "host", KINDS[kind])
    yield host
    host.close()


@pytest.fixture
def laptop(place: Path, host: OtherHost, kind: str) -> Iterator[Laptop]:
    laptop = Laptop(place, host)
    laptop.environment["SSH_USER"] = host.kind.user
    host.start()
    match kind:
        case "dash-in-the-C-locale-below-one-that-reaps-nobody":
            laptop.environment["INITIAL_PROMPT"] = PROMPT
            yield laptop
        case "user-with-a-space-behind-a-jump":
            laptop.environment["RSYNC_OLD_ARGS"] = "1"  # as every rsync before 3.2.4
            with_jump = jump_host(place, laptop, host)
            yield laptop
            with_jump.close()
        case "noisy-login-after-eight-wrong-keys":
            with agent(place, laptop):
                yield laptop
        case _:
            yield laptop


class agent:  # noqa: N801
    """An ssh-agent with eight keys that the host refuses, followed by the right one, which is in no
    file."""

    def __init__(self, place: Path, laptop: Laptop) -> None:
        self._socket = place / "agent"
        laptop.environment["SSH_AUTH_SOCK"] = str(self._socket)
        laptop.environment["SSH_KEY"] = f"{laptop.key}.pub"
        self._keys = [keygen(place / f"wrong-{number}") for number in range(8)] + [laptop.key]

    def __enter__(self) -> None:
        self._agent = subprocess.Popen(["ssh-agent", "-D", "-a", self._socket], stdout=-3)
        wait_for(self._socket.exists, PATIENCE_S, "the agent")
        environment = {**os.environ, "SSH_AUTH_SOCK": str(self._socket)}
        subprocess.run(["ssh-add", "-q", *self._keys], env=environment, check=True)
        self._keys[-1].unlink()

    def __exit__(self, *_: object) -> None:
        self._agent.terminate()
        self._agent.wait(PATIENCE_S)


def jump_host(place: Path, laptop: Laptop, host: OtherHost) -> Host:
    """The instance has an alias in ssh_config, with port, user and key, behind a jump host."""
    jump = Host(place / "jump")
    key = keygen(place / "jump-key")
    jump.allow(key)
    jump.start()
    known = place / "known-jumps"
    scan = ["ssh-keyscan", "-p", str(jump.port), "127.0.0.1"]
    known.write_text(subprocess.run(scan, capture_output=True, text=True, check=True).stdout)
    laptop.key.rename(place / "elsewhere")
    (laptop.home / ".ssh/config").write_text(
        f"Host hop\n  HostName 127.0.0.1\n  Port {jump.port}\n  User root\n"
        f"  IdentityFile {key}\n  UserKnownHostsFile {known}\n"
        f"Host gpu\n  HostName 127.0.0.1\n  Port {host.port}\n  User {host.kind.user}\n"
        f"  IdentityFile {place / 'elsewhere'}\n  ProxyJump hop\n"
        f"  LocalForward {free_port()} localhost:1\n"
    )
    laptop.environment["SSH_HOST"] = "gpu"
    del laptop.environment["SSH_PORT"], laptop.environment["SSH_USER"]
    return jump


def test_start_tunnel_restart_and_stop(host: OtherHost, laptop: Laptop) -> None:
    said = []

    def typed(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = laptop.run(START, *arguments, timeout_s=150)
        said.extend([done.stdout, done.stderr])
        return done

    done = typed()
    assert done.returncode == 0, done.stderr
    assert "it is running. Now, in another terminal: ./tunnel_to_stream.sh" in done.stderr
    assert ("lacks curl ps ss: setup.sh installs them" in done.stderr) == bool(host.kind.lacks)
    port = free_port()
    with laptop.running(TUNNEL, "--port", str(port)) as tunnel:
        tunnel.wait_said(f"the stream is reachable: http://localhost:{port}/")
        status = typed("--status")
        assert status.returncode == 0, status.stderr
        for line in (
            r"release   \d{8}-",
            r"stream    [\d.]+ frames/s",
            "disk      ",
            "guard     none",
        ):
            assert re.search(line, status.stdout), status.stdout
        with laptop.running(START, "--logs") as logs:
            logs.wait_said(rf"\[flask\] running on 0\.0\.0\.0:{host.server_port}")
        if "INITIAL_PROMPT" in laptop.environment:
            assert get(port, "/status")["prompt"] == PROMPT.replace("\n", " ")
        with Viewer(port) as viewer:
            wait_for(lambda: viewer.frames, PATIENCE_S, "a frame")
            second = typed()
            assert second.returncode == 0, second.stderr
            after = time.monotonic()
            wait_for(lambda: viewer.frames[-1][0] > after, PATIENCE_S, "a frame of the new server")
        assert viewer.refused == 0
        assert healthy(port)
        stop = typed("--stop")
        assert re.search(r"stopped \d{8}-", stop.stderr), stop.stderr
        tunnel.wait_said("no server answers behind the tunnel: run ./start_stream_server.sh")
    said += [tunnel.said, logs.said]
    assert "release   none is serving" in typed("--status").stdout
    for text in said:
        assert not ODD.search(text), text
    if host.kind.startup == AUTO_TMUX:
        assert sum("starts tmux instead of the command: creating" in text for text in said) == 1
        assert (host.home / ".no_auto_tmux").exists()


@pytest.mark.parametrize(
    ("differs", "sentence"),
    [
        # Without an sftp server, so that only the user can switch tmux off.
        (Kind(dropbear=True, startup=AUTO_TMUX), "log in, run touch ~/.no_auto_tmux, and start"),
        (
            Kind(shell="/usr/sbin/nologin"),
            "ended before it ran a command. It said: .*not available",
        ),
        (Kind(startup="exit 3"), "ended before it ran a command"),
    ],
    ids=["tmux-without-sftp", "nologin", "exits"],
)
def test_a_login_shell_that_runs_no_command_is_reported(
    place: Path, differs: Kind, sentence: str
) -> None:
    host = OtherHost(place / "host", differs)
    try:
        laptop = Laptop(place, host)
        host.start()
        done = laptop.run(START, "--status")
    finally:
        host.close()
    assert re.search(sentence, done.stderr), done.stderr
    assert done.returncode == 1
    assert not ODD.search(done.stderr)
