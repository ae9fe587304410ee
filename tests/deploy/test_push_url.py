"""The address of a broadcast, which contains the stream key, on its way to the instance."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psutil
import pytest

from tests.deploy.host import Host, healthy
from tests.deploy.laptop import Laptop
from tests.deploy.searching import Search, files_with

URL = "rtmp://127.0.0.1:9/live/sesame-4711'x\"y$z"

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize("how", ["environment", "--set"])
def test_it_reaches_the_server_and_no_command_line_log_or_readable_file(
    host: Host, laptop: Laptop, how: str
) -> None:
    options = () if how == "environment" else ("--set", f"PUSH_URL={URL}")
    environment = {"PUSH_URL": URL} if how == "environment" else {}
    typed = laptop.command("start_stream_server.sh", *options)
    with Search(["sesame-4711"], typed) as search:
        done = laptop.run("start_stream_server.sh", *options, timeout_s=150, **environment)
    assert done.returncode == 0, done.stderr
    assert healthy(host.server_port)
    assert search.scans > 20
    assert not [one for one in search.found if one.startswith("cmdline")]
    assert psutil.Process(host.serving()).environ()["PUSH_URL"] == URL
    assert "sesame-4711" not in done.stdout + done.stderr
    kept = files_with(host.base, ["sesame-4711"])
    assert {file.name for file in kept} == {"settings"}
    assert {oct(file.stat().st_mode & 0o777) for file in kept} == {"0o600"}


def test_a_start_without_it_ends_the_broadcast(host: Host, laptop: Laptop) -> None:
    done: subprocess.CompletedProcess[str] = laptop.run("start_stream_server.sh", timeout_s=150)
    assert done.returncode == 0, done.stderr
    assert "PUSH_URL" not in psutil.Process(host.serving()).environ()


def test_an_invalid_one_is_refused_without_being_quoted(host: Host, laptop: Laptop) -> None:
    done = laptop.run("start_stream_server.sh", PUSH_URL="http://h/live/sesame-4711")
    assert done.returncode == 1
    assert "PUSH_URL must be 'none' or rtmp://HOST/APP/KEY" in done.stderr
    logs = [file for file in Path(host.base).rglob("*.log*") if file.is_file()]
    assert logs
    assert "sesame-4711" not in done.stderr + "".join(file.read_text() for file in logs)
