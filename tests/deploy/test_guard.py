"""The guard on the instance, with compressed time, against the stand-in for the rental's API."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest

from tests.deploy.host import PATH, PATIENCE_S, ROOT, wait_for
from tests.deploy.standin import ACCOUNT_KEY, CONTAINER_KEY, Fault, StandIn, standing_in
from tests.ports import free_port

LONG_S = 60.0  # a limit for what takes some seconds


class Instance:
    """A rented instance as the guard sees it: process 1's environment and a state folder."""

    def __init__(self, folder: Path, stand_in: StandIn) -> None:
        self.state = folder / "state"
        self.fake = folder / "fake-bin"
        self.fake.mkdir()
        self.stand_in = stand_in
        self.rented = stand_in.rent(stand_in.offers[0], "mine")
        (folder / "environ").write_text(
            f"A=1\0CONTAINER_ID={self.rented.id}\0CONTAINER_API_KEY={CONTAINER_KEY}\0"
        )
        self.environment = {
            "PATH": f"{self.fake}:{PATH}",
            "GUARD_ENVIRON": str(folder / "environ"),
            "GUARD_API": stand_in.url,
            "GUARD_TICK_S": "1",
        }
        self.port = free_port()

    def guard(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                "bash",
                str(ROOT / "deploy/guard.sh"),
                command,
                "--state",
                str(self.state),
                *arguments,
            ],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def arm(self, hours_s: float = 3600, idle_s: float = 3600) -> subprocess.CompletedProcess[str]:
        done = self.guard(
            *("arm", "--port", str(self.port)),
            *("--hours", f"{hours_s / 3600:.6f}", "--idle-minutes", f"{idle_s / 60:.6f}"),
        )
        assert done.returncode == 0, done.stderr
        return done

    @property
    def shown(self) -> dict:
        return json.loads((self.state / "guard.json").read_text())

    @property
    def counted(self) -> tuple[int, int]:
        """The seconds that are left of the hard limit, and the uptime at which they were."""
        hard_left, _, _, uptime, _ = (self.state / "guard.state").read_text().split()
        return int(hard_left), int(uptime)

    def gone(self) -> bool:
        return self.stand_in.left == []

    def outlives(self, seconds: int) -> bool:
        """It is still rented once its guard has counted so many more seconds."""
        until = self.counted[0] - seconds
        wait_for(lambda: self.gone() or self.counted[0] <= until, LONG_S, "the guard's seconds")
        return not self.gone()

    def end(self) -> None:
        for process in psutil.process_iter():
            try:
                if str(self.state) in " ".join(process.cmdline()):
                    process.kill()
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue


@pytest.fixture
def rent(tmp_path: Path) -> Iterator[Callable[[], Instance]]:
    """Makes instances, each with a stand-in of its own."""
    made: list[Instance] = []
    with ExitStack() as stand_ins:

        def rent() -> Instance:
            folder = tmp_path / f"instance-{len(made)}"
            folder.mkdir()
            made.append(Instance(folder, stand_ins.enter_context(standing_in())))
            return made[-1]

        yield rent
        for instance in made:
            instance.end()
            instance.stand_in.end_by_hand()


@pytest.fixture
def instance(rent: Callable[[], Instance]) -> Instance:
    return rent()


@pytest.fixture
def server(instance: Instance) -> Iterator[dict]:
    """A server that says how many watch."""
    answer = {"viewers": 1}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps({"state": "streaming", **answer, "guard": None}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", instance.port), Handler)
    thread = threading.Thread(target=lambda: server.serve_forever(0.05))
    thread.start()
    yield answer
    server.shutdown()
    server.server_close()
    thread.join(PATIENCE_S)


def test_the_hard_limit_ends_a_rental_that_is_watched(instance: Instance, server: dict) -> None:
    assert "armed: given back at" in instance.arm(hours_s=3).stderr
    wait_for(instance.gone, LONG_S, "the end of the rental")
    assert instance.stand_in.billed > 0


def test_the_idle_limit_ends_a_rental_whose_server_has_crashed(instance: Instance) -> None:
    instance.arm(idle_s=3)
    wait_for(instance.gone, LONG_S, "the end of the rental")
    assert "time is up" in (instance.state / "guard.log").read_text()


def test_a_viewer_keeps_the_rental_and_the_last_ones_leaving_ends_it(
    instance: Instance, server: dict
) -> None:
    instance.arm(idle_s=3)
    assert instance.outlives(5)
    server["viewers"] = 0
    wait_for(instance.gone, LONG_S, "the end of the rental")


def test_a_setup_or_batch_counts_as_a_viewer_while_its_process_lives(instance: Instance) -> None:
    with subprocess.Popen(["sleep", "infinity"]) as busy:
        try:
            (instance.state / "busy").mkdir(parents=True)
            (instance.state / "busy" / str(busy.pid)).touch()
            instance.arm(idle_s=2)
            assert instance.outlives(4)
        finally:
            busy.kill()
    wait_for(instance.gone, LONG_S, "the end of the rental")


def test_a_clock_that_jumps_neither_ends_nor_prolongs(rent: Callable[[], Instance]) -> None:
    jumps = {rent(): -86_400, rent(): 86_400}
    ends = {}  # by the uptime
    for instance, jump_s in jumps.items():
        instance.arm(hours_s=600)
        ends[instance] = sum(instance.counted)
        fake = instance.fake / "date"
        fake.write_text(
            '#!/bin/sh\nif [ "$1" = +%s ]; then echo $(($(/bin/date +%s) + '
            f'{jump_s}));\nelse exec /bin/date "$@"; fi\n'
        )
        fake.chmod(0o755)
    for instance, jump_s in jumps.items():

        def jumped(instance: Instance = instance, jump_s: int = jump_s) -> bool:
            return abs(instance.shown["written_at"] - time.time() - jump_s) < 3600

        wait_for(jumped, LONG_S, "the jump")
        assert instance.outlives(2)
        assert sum(instance.counted) == ends[instance]
        shown = instance.shown
        assert shown["ends_at"] - shown["written_at"] == shown["hard_left_s"]


def test_the_guard_goes_on_until_the_rental_is_gone(rent: Callable[[], Instance]) -> None:
    faults = (
        Fault("DELETE", "/instances/", status=503, times=2),
        Fault("DELETE", "/instances/", status=429, times=2),
        Fault("DELETE", "/instances/", lose=True, ignore=True, times=2),
        Fault("DELETE", "/instances/", ignore=True, times=1),  # a success that is none
    )
    instances = [rent() for _ in faults]
    for instance, fault in zip(instances, faults, strict=True):
        instance.stand_in.faults.append(fault)
        instance.arm(hours_s=3)
    wait_for(lambda: all(i.gone() for i in instances), LONG_S, "the end of the rentals")
    for instance in instances:
        assert sum("DELETE" in request for request in instance.stand_in.requests) >= 2


def test_a_guard_that_is_armed_again_keeps_its_time(instance: Instance) -> None:
    assert "CAREFUL" not in instance.arm(hours_s=600).stderr
    assert instance.outlives(2)
    again = instance.guard("arm", "--port", str(instance.port))
    assert "armed" in again.stderr
    assert instance.shown["hard_left_s"] <= 598


def test_a_killed_guard_is_not_called_armed_and_goes_on_where_it_was(instance: Instance) -> None:
    instance.arm(hours_s=600)
    assert instance.guard("status").returncode == 0
    watcher = psutil.Process(int((instance.state / "guard.pid").read_text()))
    watcher.kill()
    watcher.wait(PATIENCE_S)
    lost = instance.guard("status")
    assert lost.returncode == 1
    assert lost.stdout == "none: nothing ends this rental but you\n"
    instance.guard("arm")
    assert instance.guard("status").returncode == 0
    assert instance.shown["hard_left_s"] <= 600


def test_it_warns_twice_and_an_extension_gives_time(instance: Instance) -> None:
    instance.environment |= {"GUARD_WARN_FIRST_S": "900", "GUARD_WARN_LAST_S": "590"}
    instance.arm(hours_s=600)
    assert "given back in 10 minutes (its time is up), unless" in instance.shown["message"]
    wait_for(lambda: "extend it now" in instance.shown["message"], LONG_S, "the last warning")
    instance.guard("extend", "--minutes", "10")
    wait_for(lambda: instance.shown["hard_left_s"] > 900, LONG_S, "the extension")
    assert instance.shown["message"] == ""
    assert not instance.gone()


def test_where_nothing_is_rented_it_says_so(instance: Instance) -> None:
    instance.environment["GUARD_ENVIRON"] = "/dev/null"
    done = instance.guard("arm", "--if-rented")
    assert done.returncode == 0
    assert "there is no guard: nothing ends this rental but you" in done.stderr
    refused = instance.guard("arm")
    assert refused.returncode == 1
    assert "CANNOT be guarded: destroy it yourself" in refused.stderr


def test_a_key_that_does_not_open_is_said_when_it_is_armed(instance: Instance) -> None:
    instance.stand_in.faults.append(Fault("PUT", "/instances/", status=401))
    assert "CAREFUL: the rental's API did not take this instance's key" in instance.arm().stderr


def test_the_key_is_in_no_argument_and_no_file(instance: Instance, tmp_path: Path) -> None:
    instance.arm(hours_s=3)
    seen = set()

    def gone() -> bool:
        for process in Path("/proc").glob("[0-9]*"):
            for what in ("cmdline", "environ"):
                try:
                    if CONTAINER_KEY.encode() in (process / what).read_bytes():
                        seen.add(what)
                except OSError:
                    continue
        return instance.gone()

    wait_for(gone, LONG_S, "the end of the rental")
    assert seen == set()
    for file in instance.state.rglob("*"):
        assert not file.is_file() or CONTAINER_KEY not in file.read_text(), file


def test_the_account_key_is_not_what_the_guard_uses(instance: Instance) -> None:
    text = (ROOT / "deploy/guard.sh").read_text()
    assert "VAST_API_KEY" not in text
    assert not re.search(rf"{ACCOUNT_KEY}|{os.sep}vast_api_key", text)
