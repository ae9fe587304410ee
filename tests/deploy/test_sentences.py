"""Failures between laptop and instance: one sentence each, and no process or file is left."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.deploy.host import PATIENCE_S, ROOT, USER, Host, keygen
from tests.deploy.laptop import Laptop
from tests.deploy.terminal import CTRL_C, at_terminal
from tests.ports import free_port

START = "start_stream_server.sh"


def refused(laptop: Laptop, sentence: str, *arguments: str, status: int = 1, **environment) -> None:
    done = laptop.run(*(arguments or (START, "--status")), **environment)
    assert sentence in done.stderr
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert not list(Path(os.environ["TMPDIR"]).glob("turbo.*"))


def test_no_instance_is_configured(laptop: Laptop) -> None:
    refused(laptop, "No instance is configured: set SSH_HOST and SSH_PORT", SSH_HOST=None)


def test_a_host_that_does_not_exist(laptop: Laptop) -> None:
    sentence = "There is no host named nowhere.invalid: check SSH_HOST (set by SSH_HOST)."
    refused(laptop, sentence, SSH_HOST="nowhere.invalid")


def test_a_host_that_does_not_answer(laptop: Laptop) -> None:
    # A listener whose queue is full does not answer, like a firewall.
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        refused(
            laptop,
            "127.0.0.1 does not answer on port",
            SSH_PORT=str(full.getsockname()[1]),
            SSH_CONNECT_TIMEOUT_S="2",
        )


def test_a_closed_port(laptop: Laptop) -> None:
    port = free_port()
    refused(laptop, f"127.0.0.1 answers, but nothing listens on port {port}", SSH_PORT=str(port))


def test_a_port_that_is_not_a_number(laptop: Laptop) -> None:
    refused(laptop, "SSH_PORT must be a number from 1 to 65535, not '22x'", SSH_PORT="22x")


def test_a_key_that_does_not_exist(laptop: Laptop) -> None:
    refused(laptop, "The key /nowhere/key (SSH_KEY) does not exist.", SSH_KEY="/nowhere/key")


def test_no_key_at_all(laptop: Laptop, tmp_path: Path) -> None:
    refused(laptop, "There is no ssh key: create one with ssh-keygen", HOME=str(tmp_path))


def test_a_key_that_the_instance_refuses(laptop: Laptop, tmp_path: Path) -> None:
    stranger = keygen(tmp_path / "stranger")
    refused(laptop, f"127.0.0.1 refuses the key {stranger} for {USER}", SSH_KEY=str(stranger))


def test_a_wrong_passphrase(laptop: Laptop, host: Host, tmp_path: Path) -> None:
    locked = keygen(tmp_path / "locked", "right")
    refused(
        laptop,
        f"The passphrase does not unlock {locked}: correct PASSPHRASE.",
        SSH_KEY=str(locked),
        PASSPHRASE="wrong",
    )


def test_a_passphrase_without_a_terminal_to_ask_at(laptop: Laptop, tmp_path: Path) -> None:
    locked = keygen(tmp_path / "locked", "right")
    refused(
        laptop,
        f"The key {locked} has a passphrase: set PASSPHRASE, or ssh-add it",
        SSH_KEY=str(locked),
    )


def test_a_host_key_that_has_changed(laptop: Laptop, host: Host) -> None:
    laptop.run(START, "--status")
    host.kill()
    host.new_host_key()
    host.start()
    refused(laptop, "has changed: another machine answers at 127.0.0.1")
    (laptop.home / ".turbostream/known_hosts").unlink()


def test_an_interpreter_that_does_not_exist(laptop: Laptop) -> None:
    sentence = "INSTANCE_PYTHON is /nowhere/python, which does not exist or cannot be run."
    refused(laptop, sentence, START, INSTANCE_PYTHON="/nowhere/python")


def test_a_port_of_the_instance_that_is_in_use(laptop: Laptop, host: Host) -> None:
    with socket.create_server(("127.0.0.1", host.server_port)):
        refused(laptop, f"Port {host.server_port} of the instance is taken by", START)


def test_a_port_of_the_instance_in_use_is_reported_before_anything_is_installed(
    laptop: Laptop, host: Host
) -> None:
    with socket.create_server(("127.0.0.1", host.server_port)):
        done = laptop.run(START, INSTANCE_PYTHON="/nowhere/python")
    assert f"Port {host.server_port} of the instance is taken by" in done.stderr
    assert "INSTANCE_PYTHON" not in done.stderr


def test_a_rollback_before_the_first_start(laptop: Laptop, host: Host) -> None:
    sentence = f"Nothing was started in {host.base} yet, so there is no earlier release: run"
    refused(laptop, sentence, START, "--rollback")


def test_a_tilde_in_remote_dir_is_the_home_on_the_instance(laptop: Laptop, host: Host) -> None:
    quick = {"INSTANCE_PYTHON": "/nowhere/python"}  # ends after the copy
    refused(laptop, "INSTANCE_PYTHON is", START, REMOTE_DIR="~/some where", **quick)
    [release] = (host.home / "some where/releases").iterdir()
    assert (release / "turbostream/release.py").is_file()
    assert not (host.home / "~").exists()


@pytest.mark.parametrize("rules", ["old", "new"])
def test_rsync_of_old_and_new_versions_copies_into_a_folder_with_a_blank(
    laptop: Laptop, host: Host, rules: str
) -> None:
    base = host.base / f"{rules} rules; it's"
    old: dict[str, str] = {"RSYNC_OLD_ARGS": "1"} if rules == "old" else {}
    releases: list[Path] = []
    for _ in range(2):
        refused(
            laptop,
            "INSTANCE_PYTHON is",
            START,
            INSTANCE_PYTHON="/nowhere/python",
            REMOTE_DIR=str(base),
            **old,
        )
        [new] = set((base / "releases").iterdir()) - set(releases)
        releases.append(new)
        (base / "current").unlink(missing_ok=True)
        (base / "current").symlink_to(releases[0])
    first, second = releases
    for file in ("setup.sh", "turbostream/release.py"):  # unchanged: linked, not sent again
        assert (first / file).stat().st_ino == (second / file).stat().st_ino
    shutil.rmtree(base)


def test_a_local_port_in_use_is_reported_with_the_next_free_one(laptop: Laptop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        done = laptop.run("tunnel_to_stream.sh", "--port", str(port))
    assert done.returncode == 1
    assert f"The local port {port} is taken by" in done.stderr
    assert f"(process {os.getpid()})" in done.stderr
    assert "or use the next free one: --port" in done.stderr


@pytest.mark.parametrize("answer", ["\n", "n\n"], ids=["yes", "no"])
def test_at_a_terminal_the_next_free_port_is_offered(laptop: Laptop, answer: str) -> None:
    port = str(free_port())
    with (
        socket.create_server(("127.0.0.1", int(port))),
        at_terminal(laptop, "tunnel_to_stream.sh", "--port", port) as tunnel,
    ):
        question = tunnel.wait_said(rf"The local port {port} is taken by .* Use \d+ instead\?")
        tunnel.press(answer)
        if answer == "\n":
            following = question.split()[-2]
            tunnel.wait_said(rf"localhost:{following} to port \d+ of 127.0.0.1")
            tunnel.wait_said("no server answers behind the tunnel")
            tunnel.press(CTRL_C)
        assert tunnel.process.wait(PATIENCE_S) == (130 if answer == "\n" else 1)


def test_a_folder_that_cannot_be_written(laptop: Laptop) -> None:
    refused(laptop, "cannot write to /proc/nothing", START, REMOTE_DIR="/proc/nothing")


@pytest.mark.parametrize("script", [START, "tunnel_to_stream.sh"])
def test_an_unknown_option(laptop: Laptop, script: str) -> None:
    done = laptop.run(script, "--nonsense")
    assert done.returncode == 2
    assert "there is no option --nonsense." in done.stderr


def test_a_start_guards_a_rental_of_the_website_unless_told_not_to(
    laptop: Laptop, host: Host
) -> None:
    host.rental.write_text("CONTAINER_ID=7\0CONTAINER_API_KEY=key\0")
    quick = {"INSTANCE_PYTHON": "/nowhere"}  # ends after the guard's part
    guarded = laptop.run(START, "--hours", "2", **quick).stderr
    assert "armed: given back at" in guarded
    assert "change it: --hours, --idle-minutes, --no-guard" in guarded
    assert laptop.run("deploy/remote.sh", "guard", "status").stdout.startswith("armed")
    unguarded = laptop.run(START, "--no-guard", **quick).stderr
    host.rental.write_text("")
    assert "disarmed: nothing ends this rental but you." in unguarded
    assert laptop.run("deploy/remote.sh", "guard", "status").stdout.startswith("none")


# --- where the instance is ------------------------------------------------------------------------


def test_a_pasted_line_is_understood(laptop: Laptop, host: Host) -> None:
    line = f"ssh -p {host.port} {USER}@127.0.0.1 -L 8080:localhost:8080"
    done = laptop.run(START, "--status", SSH_HOST=line, SSH_PORT=None, SSH_USER=None)
    assert "release   none is serving" in done.stdout


def test_ssh_config_json_is_read_and_the_environment_takes_precedence(
    laptop: Laptop, host: Host
) -> None:
    file = laptop.scripts / "ssh_config.json"
    values = {"host": "127.0.0.1", "port": host.port, "user": USER, "key": "~/.ssh/id_ed25519"}
    for text in (json.dumps(values), json.dumps(values, indent=2)):
        file.write_text(text)
        done = laptop.run(START, "--status", SSH_HOST=None, SSH_PORT=None, SSH_USER=None)
        assert "release   none is serving" in done.stdout, done.stderr
    refused(laptop, "There is no host named other.invalid", SSH_HOST="other.invalid")
    file.unlink()


def test_a_file_named_after_the_instance_is_read(laptop: Laptop, host: Host) -> None:
    file = laptop.scripts / "ssh_19768221.json"
    file.write_text(json.dumps({"host": "127.0.0.1", "port": str(host.port)}))
    done = laptop.run(START, "--status", SSH_HOST=None, SSH_PORT=None)
    file.unlink()
    assert "release   none is serving" in done.stdout, done.stderr
    assert "19768221" in (laptop.home / ".turbostream/known_hosts").read_text()


@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_edited_variables_are_used_and_a_readable_passphrase_causes_a_warning(
    laptop: Laptop, host: Host, mode: int
) -> None:
    script = laptop.scripts / START
    good = script.read_text()
    locked = laptop.home / ".ssh/edited"
    if not locked.exists():
        host.allow(keygen(locked, 'it\'s "mine" $HOME'))
    edited = good.replace('SSH_HOST=""', 'SSH_HOST="127.0.0.1"')
    edited = edited.replace('SSH_PORT=""', f'SSH_PORT="{host.port}"')
    script.write_text(edited.replace('PASSPHRASE=""', "PASSPHRASE='it'\\''s \"mine\" $HOME'"))
    script.chmod(mode)
    done = laptop.run(START, "--status", SSH_HOST=None, SSH_PORT=None, SSH_KEY=str(locked))
    script.write_text(good)
    script.chmod(0o755)
    assert "release   none is serving" in done.stdout, done.stderr
    assert ("WARNING: others can read" in done.stderr) == (mode == 0o755)


def test_the_guides_way_of_copying_setup_sh_alone(laptop: Laptop, host: Host) -> None:
    options = ["-i", str(laptop.key), "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes"]
    options += ["-o", f"UserKnownHostsFile={laptop.home}/known"]
    user = laptop.environment["SSH_USER"]
    target = f"{user}@127.0.0.1:{host.base}/"
    copy = ["scp", "-q", "-P", str(host.port), *options, str(ROOT / "setup.sh"), target]
    subprocess.run(copy, check=True, timeout=100)
    command = f"bash {host.base}/setup.sh --no-system"
    ssh = ["ssh", "-p", str(host.port), *options, f"{user}@127.0.0.1", command]
    done = subprocess.run(ssh, capture_output=True, text=True, timeout=100)
    (host.base / "setup.sh").unlink()
    assert done.returncode == 0, done.stderr
    assert "./start_stream_server.sh, which copies the program and does the rest" in done.stderr
