"""The loop that restarts the server: after which exits, its links, its log."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.deploy.host import PATH, PATIENCE_S, ROOT, wait_for

SERVER = """#!/bin/bash
# In place of Python: ends as the next line of `ends` says; `serve` holds the port first, until
# the loop has seen it.
next=$(head -n 1 "$STATE_DIR/ends"); sed -i 1d "$STATE_DIR/ends"
echo "life with HANDOVER=$HANDOVER: $next"
case $next in
  serve*)
    echo "$$ 8000 $PWD" >"$STATE_DIR/serving"
    for _ in {1..600}; do [[ -L ../../current ]] && break; sleep 0.1; done
    next=${next#serve }
    ;;
esac
case $next in
  kill) kill -KILL $$ ;;
  stay) sleep 600 & trap 'kill $!; exit 0' TERM; echo "it stays"; wait ;;
  *) exit "$next" ;;
esac
"""


class Loop:
    def __init__(self, base: Path) -> None:
        self.base = base
        self.folder = base / "releases/r1"
        for made in (self.folder / ".deploy", base / "state", base / "run", base / "bin"):
            made.mkdir(parents=True)
        (base / "bin/python3").write_text(SERVER)
        (base / "bin/python3").chmod(0o755)
        (self.folder / ".deploy/python").write_text(f"{base}/bin/python3\n")
        (self.folder / ".deploy/settings").write_text(
            f"export STATE_DIR={base}/state HANDOVER=take\n"
        )
        (self.folder / "server.log").touch()
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, *ends: str, **environment: str) -> None:
        (self.base / "state/ends").write_text("".join(f"{end}\n" for end in ends))
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["bash", str(ROOT / "deploy/loop.sh"), str(self.base), "r1", "1"],
                env={"PATH": PATH, "LOOP_PAUSE_S": "0", **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> str:
        return (self.folder / "server.log").read_text()

    def ended(self) -> str:
        assert self.process
        assert self.process.wait(60) == 0
        return (self.base / "run/r1.ended").read_text().strip()


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    loop = Loop(tmp_path)
    yield loop
    if loop.process and loop.process.poll() is None:
        loop.process.terminate()
        loop.process.wait(PATIENCE_S)


def test_it_restarts_after_70_and_signals_and_not_after_0(loop: Loop) -> None:
    loop.run("70", "kill", "0", "70")
    assert loop.ended() == "the server ended by itself (0)."
    assert loop.log.count("life with") == 3
    assert "the server ended with status 70: starting it again in 0 s." in loop.log


def test_it_does_not_restart_after_2(loop: Loop) -> None:
    loop.run("2", "0")
    assert loop.ended() == "the server cannot work with these settings (2)."
    assert loop.log.count("life with") == 1


def test_a_release_that_never_painted_is_given_up_at_once(loop: Loop) -> None:
    loop.run("1", "0")
    assert loop.ended() == "the server ended with status 1 before it painted a picture."


def test_it_gives_up_after_five_short_runs_in_a_row(loop: Loop) -> None:
    loop.run(*["70"] * 9)
    assert "ended 5 times in a row, most recently with status 70: giving up" in loop.ended()
    assert loop.log.count("life with") == 5


def test_a_release_that_has_served_is_restarted_and_does_not_take_the_port_back(loop: Loop) -> None:
    (loop.base / "realtime_stream.py").write_text("the user's own")
    loop.run("serve 1", "0")
    loop.ended()
    assert "life with HANDOVER=take: serve 1\n" in loop.log
    assert "life with HANDOVER=offer: 0\n" in loop.log
    assert os.readlink(loop.base / "current") == "releases/r1"
    assert os.readlink(loop.base / "server.log") == "releases/r1/server.log"
    assert os.readlink(loop.base / "realtime_stream.py") == "current/realtime_stream.py"
    assert (loop.base / "realtime_stream.py.before-r1").read_text() == "the user's own"


def test_it_stops_its_server_when_it_is_stopped(loop: Loop) -> None:
    loop.run("stay")
    assert loop.process
    wait_for(lambda: "it stays" in loop.log, PATIENCE_S, "the server")
    children = psutil.Process(loop.process.pid).children(recursive=True)
    loop.process.send_signal(signal.SIGTERM)
    assert loop.ended() == "the server was stopped."
    assert not psutil.wait_procs(children, PATIENCE_S)[1]


def test_a_large_log_is_rotated_while_the_server_keeps_running(loop: Loop) -> None:
    loop.run("stay", LOG_MOST_KB="1")
    wait_for(lambda: "it stays" in loop.log, PATIENCE_S, "the server")
    for letter in "ab":
        with (loop.folder / "server.log").open("a") as log:
            log.write(letter * 2000)
        wait_for(lambda: (loop.folder / "server.log").stat().st_size < 1500, PATIENCE_S, "the cut")
    assert "b" * 2000 in (loop.folder / "server.log.1").read_text()
    assert "a" * 2000 in (loop.folder / "server.log.2").read_text()
