"""--help names the options and commands that the scripts accept."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.host import ROOT

SCRIPTS = ("start_stream_server.sh", "tunnel_to_stream.sh", "deploy/guard.sh", "deploy/host.sh")


def helped(script: str) -> str:
    done = subprocess.run(
        ["bash", str(ROOT / script), "--help"], capture_output=True, text=True, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def taken(script: str) -> set[str]:
    """The options in the script's `case` branches, or in the Python program that it starts."""
    if script == "deploy/guard.sh":
        text = (ROOT / "deploy/instance/guard_commands.py").read_text()
        return set(re.findall(r'add_argument\("(--[a-z-]+)"(?!.*SUPPRESS)', text))
    found: set[str] = set()
    text = (ROOT / script).read_text()
    if script == "deploy/host.sh":
        text += (ROOT / "deploy/host/start.sh").read_text()
    for line in text.splitlines():
        branch = re.match(r"\s*((?:-{1,2}[a-z-]+(?: \| )?)+)\)", line)
        if branch:
            found |= set(re.findall(r"--[a-z-]+", branch[1]))
    return found


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_names_every_option_and_no_other(script: str) -> None:
    text = helped(script)
    named = set(re.findall(r"(?<![\w./])--[a-z][a-z-]+", text))
    if script == "deploy/host.sh":
        assert {"--replace", "--no-guard"} <= taken(script) <= named
    else:
        assert named == taken(script) | {"--help"} if "--help" in named else named == taken(script)


@pytest.mark.parametrize("script", ["deploy/remote.sh", "deploy/host.sh", "deploy/guard.sh"])
def test_help_names_every_command(script: str) -> None:
    text = helped(script)
    branch = re.search(
        r"^    ([a-z]+ \| [a-z| ]+)\)", (ROOT / script).read_text().split("main()")[1], re.M
    )
    assert branch
    for command in branch[1].split(" | "):
        assert re.search(rf"^ +{command} ", text, re.M), command


@pytest.mark.parametrize("script", ["start_stream_server.sh", "tunnel_to_stream.sh"])
def test_the_three_variables_of_the_guide_are_at_the_top(script: str) -> None:
    top = Path(ROOT / script).read_text().splitlines()[:48]
    assert 'SSH_HOST=""' in top
    assert 'SSH_PORT=""' in top
    assert 'PASSPHRASE=""' in top


def test_the_library_and_the_scripts_never_print_the_passphrase() -> None:
    for script in ("deploy/connection.sh", "deploy/keys.sh", *SCRIPTS):
        for line in (ROOT / script).read_text().splitlines():
            if "$PASSPHRASE" in line and "printf" in line:
                assert '>"$connect_dir/answer"' in line, line
