"""All the ways to give the address of the instance."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.deploy.host import ROOT

SHOW = """
. "$1/deploy/connection.sh"
given_host=${SSH_HOST:-} given_port=${SSH_PORT:-} given_user=${SSH_USER:-} given_key=${SSH_KEY:-}
given_passphrase=''
unset SSH_HOST SSH_PORT SSH_USER SSH_KEY
SSH_PORT=${EDITED_PORT:-}
connect_configure "$2"
printf '%s|' "$connect_user" "$connect_host" "$connect_port" "${connect_given[*]-}"
"""


def read(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / ".ssh").mkdir(exist_ok=True)
    (folder / ".ssh/id_ed25519").touch()
    command = ["bash", "-euo", "pipefail", "-c", SHOW, "script", str(ROOT), str(folder)]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("203.0.113.5", "|203.0.113.5||"),
        ("ssh -p 18382 root@203.0.113.5 -L 8080:localhost:8080", "root|203.0.113.5|18382|"),
        ("ssh -p18382 root@203.0.113.5", "root|203.0.113.5|18382|"),
        ("ssh -tp 18382 root@203.0.113.5", "root|203.0.113.5|18382|"),
        ("ssh -Ap18382 -L8080:localhost:8080 -l me 203.0.113.5", "me|203.0.113.5|18382|"),
        ("  ssh\troot@203.0.113.5  -p 18382\r\n", "root|203.0.113.5|18382|"),
        ("root@203.0.113.5:18382", "root|203.0.113.5|18382|"),
        ("ssh://root@203.0.113.5:18382", "root|203.0.113.5|18382|"),
        ("ssh ssh://root@203.0.113.5:18382/", "root|203.0.113.5|18382|"),
        ("ssh://ssh5.vast.ai", "|ssh5.vast.ai||"),
        ("ssh -p 18382 root@203.0.113.5 nvidia-smi -l 1", "root|203.0.113.5|18382|"),
        ("/usr/bin/ssh -J me@hop:22,other 203.0.113.5", "|203.0.113.5||-J me@hop:22,other"),
        ("ssh -oPort=18382 -o 'User me' gpu", "me|gpu|18382|"),
        ("ssh -o StrictHostKeyChecking=no -o LocalForward='1 a:1' gpu", "|gpu||-o StrictHostKeyC"),
        ("ssh -4C -F /nowhere gpu", "|gpu||-4 -C"),
        ("me@corp@203.0.113.5", "me@corp|203.0.113.5||"),
        ("[2001:db8::5]:18382", "|2001:db8::5|18382|"),
        ("ssh -p 18382 root@2001:db8::5", "root|2001:db8::5|18382|"),
    ],
)
def test_what_is_pasted_into_ssh_host(tmp_path: Path, written: str, found: str) -> None:
    done = read(tmp_path, SSH_HOST=written)
    assert done.stdout.startswith(found), done
    assert ("ignored in SSH_HOST: the command 'nvidia-smi" in done.stderr) == ("nvidia" in written)


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("ssh -p 22", "SSH_HOST contains no host: ssh -p 22"),
        ("ssh root@'host", "SSH_HOST has an unclosed quote"),
        ("root@host:0", "SSH_PORT must be a number from 1 to 65535, not '0'"),
        ("root@host:99999", "SSH_PORT must be a number from 1 to 65535, not '99999'"),
        ("root@host,other", "'root@host,other' is not a host name (set by SSH_HOST)."),
        ("ssh -- -oProxyCommand=x", "SSH_HOST contains no host"),
    ],
)
def test_malformed_addresses_are_refused(tmp_path: Path, written: str, sentence: str) -> None:
    done = read(tmp_path, SSH_HOST=written)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_environment_takes_precedence_over_the_edited_script(tmp_path: Path) -> None:
    assert read(tmp_path, SSH_HOST="root@a:7", EDITED_PORT="9").stdout == "root|a|7||"
    assert read(tmp_path, SSH_HOST="root@a:7", SSH_PORT="8").stdout == "root|a|8||"
    assert read(tmp_path, SSH_HOST="a", EDITED_PORT="9").stdout == "|a|9||"


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_file_with_any_line_endings_is_read(
    tmp_path: Path, ending: str, indent: int | None
) -> None:
    key = tmp_path / 'my "keys", all'
    key.write_text("")
    values = {"host": "root@203.0.113.5", "port": 41234, "key": str(key), "id": 7}
    text = json.dumps(values, indent=indent).replace("\n", ending) + ending
    (tmp_path / "ssh_config.json").write_bytes(text.encode())
    done = read(tmp_path)
    assert (done.stdout, done.stderr) == ("root|203.0.113.5|41234||", "")


def test_a_host_in_a_file_cannot_be_an_ssh_option(tmp_path: Path) -> None:
    (tmp_path / "ssh_config.json").write_text('{"host": "-oProxyCommand=touch x", "port": 1}')
    done = read(tmp_path)
    assert "is not a host name" in done.stderr
    assert done.returncode == 1
