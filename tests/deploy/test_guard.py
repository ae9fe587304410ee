"""The guard on the instance, with compressed time, against the stand-in for the rental's API."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from tests.deploy.guarded import LONG_S, Instance
from tests.deploy.host import PATIENCE_S, ROOT, wait_for
from tests.deploy.standin import ACCOUNT_KEY, CONTAINER_KEY, Fault


def test_the_hard_limit_ends_a_rental_that_is_watched(instance: Instance, server: dict) -> None:
    assert "armed: given back at" in instance.arm(hours_s=3).stderr
    wait_for(instance.gone, LONG_S, "the end of the rental")
    assert instance.stand_in.billed > 0


def test_the_idle_limit_ends_a_rental_whose_server_has_crashed(instance: Instance) -> None:
    instance.arm(idle_s=3)
    wait_for(instance.gone, LONG_S, "the end of the rental")
    assert "time is up" in (instance.state / "guard.log").read_text()


def test_a_viewer_keeps_the_rental_and_it_ends_after_the_last_one_has_left(
    instance: Instance, server: dict
) -> None:
    instance.arm(idle_s=3)
    assert instance.outlives(5)
    server["viewers"] = 0
    wait_for(instance.gone, LONG_S, "the end of the rental")


def test_a_prompt_that_mentions_viewers_is_not_counted_as_one(
    instance: Instance, server: dict
) -> None:
    server.update(viewers=0, prompt='x", "viewers": 9', scene={"viewers": 9})
    instance.arm(idle_s=3)
    wait_for(instance.gone, LONG_S, "the end of the rental")


def test_a_server_that_answers_byte_by_byte_does_not_block_the_guard(instance: Instance) -> None:
    ended = threading.Event()

    def trickle(listener: socket.socket) -> None:
        while not ended.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection, suppress(OSError):
                while not ended.wait(0.2):
                    connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", instance.port)) as listener:
        listener.settimeout(0.2)
        thread = threading.Thread(target=trickle, args=(listener,))
        thread.start()
        try:
            instance.arm(hours_s=8)
            wait_for(instance.gone, 40, "the end of the rental")
        finally:
            ended.set()
            thread.join(PATIENCE_S)


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


CLOCK = """#!{python}
# In place of Python: the same with a clock that is off by what the file says.
import runpy, sys, time
from pathlib import Path

real, jump = time.time, Path({jump!r})
time.time = lambda: real() + float(jump.read_text())
sys.argv = [word for word in sys.argv[1:] if word not in ("-I", "-B")]
if sys.argv[0] == "-c":
    exec(sys.argv[1])
else:
    runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_a_change_of_the_clock_neither_ends_nor_extends_the_rental(
    rent: Callable[[], Instance],
) -> None:
    jumps = {rent(): -86_400, rent(): 86_400}
    ends = {}  # in uptime
    for instance, jump_s in jumps.items():
        jump = instance.fake / "jump"
        jump.write_text("0")
        fake = instance.fake / "python3"
        fake.write_text(CLOCK.format(python=sys.executable, jump=str(jump)))
        fake.chmod(0o755)
        instance.arm(hours_s=600)
        ends[instance] = sum(instance.counted)
        (instance.fake / "new").write_text(str(jump_s))
        (instance.fake / "new").rename(jump)
    for instance, jump_s in jumps.items():

        def jumped(instance: Instance = instance, jump_s: int = jump_s) -> bool:
            return abs(instance.shown["written_at"] - time.time() - jump_s) < 3600

        wait_for(jumped, LONG_S, "the jump")
        assert instance.outlives(2)
        assert sum(instance.counted) == ends[instance]
        shown = instance.shown
        assert shown["ends_at"] - shown["written_at"] == shown["hard_left_s"]


def test_the_guard_retries_until_the_rental_is_gone(rent: Callable[[], Instance]) -> None:
    faults = (
        Fault("DELETE", "/instances/", status=503, times=2),
        Fault("DELETE", "/instances/", status=429, times=2),
        Fault("DELETE", "/instances/", lose=True, ignore=True, times=2),
        Fault("DELETE", "/instances/", ignore=True, times=1),  # claims success wrongly
    )
    instances = [rent() for _ in faults]
    for instance, fault in zip(instances, faults, strict=True):
        instance.stand_in.faults.append(fault)
        instance.arm(hours_s=3)
    wait_for(lambda: all(i.gone() for i in instances), LONG_S, "the end of the rentals")
    for instance in instances:
        assert sum("DELETE" in request for request in instance.stand_in.requests) >= 2


def test_arming_the_guard_again_keeps_its_remaining_time(instance: Instance) -> None:
    assert "WARNING" not in instance.arm(hours_s=600).stderr
    assert instance.outlives(2)
    again = instance.guard("arm", "--port", str(instance.port))
    assert "armed" in again.stderr
    guard = psutil.Process(int((instance.state / "guard.pid").read_text()))
    assert guard.name() == "guard"  # killall python3 must not match it
    assert instance.shown["hard_left_s"] <= 598


def test_a_killed_guard_is_reported_as_none_and_the_next_one_resumes_its_count(
    instance: Instance,
) -> None:
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


def test_the_guard_of_an_older_release_is_replaced_and_its_time_kept(
    instance: Instance, tmp_path: Path
) -> None:
    instance.state.mkdir()
    up = int(float(Path("/proc/uptime").read_text().split()[0]))
    (instance.state / "guard.state").write_text(f"5000 1800 0 {up} {instance.port}\n")
    old = tmp_path / "guard.sh"
    old.write_text("sleep infinity\n")
    command = ["bash", str(old), "watch", "--state", str(instance.state)]
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            assert instance.guard("arm", "--port", str(instance.port)).returncode == 0
            assert process.wait(PATIENCE_S) == -signal.SIGTERM
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert instance.guard("status").returncode == 0
    assert 4900 < instance.counted[0] <= 5000


def test_a_guard_that_cannot_be_replaced_keeps_running(instance: Instance) -> None:
    instance.arm(hours_s=600)
    guard = psutil.Process(int((instance.state / "guard.pid").read_text()))
    bash = instance.fake / "bash"
    bash.write_text('#!/bin/sh\ncase "$*" in *watch*) exit 1 ;; esac\nexec /bin/bash "$@"\n')
    bash.chmod(0o755)
    done = instance.guard("arm", "--hours", "2")
    assert done.returncode == 1
    assert "does NOT watch (it did not report;" in done.stderr
    assert "the guard that was armed before keeps watching." in done.stderr
    assert guard.is_running()
    assert instance.outlives(2)
    assert instance.counted[0] < 600


def test_it_warns_twice_and_can_be_extended(instance: Instance) -> None:
    instance.environment |= {"GUARD_WARN_FIRST_S": "900", "GUARD_WARN_LAST_S": "590"}
    instance.arm(hours_s=600)
    assert "given back in 10 minutes (its time is up), unless" in instance.shown["message"]
    wait_for(lambda: "extend it now" in instance.shown["message"], LONG_S, "the last warning")
    instance.guard("extend", "--minutes", "10")
    wait_for(lambda: instance.shown["hard_left_s"] > 900, LONG_S, "the extension")
    assert instance.shown["message"] == ""
    assert not instance.gone()


def test_on_a_machine_that_is_not_rented_it_says_so(instance: Instance) -> None:
    instance.environment["GUARD_ENVIRON"] = "/dev/null"
    done = instance.guard("arm", "--if-rented")
    assert done.returncode == 0
    assert "there is no guard: nothing ends this rental but you" in done.stderr
    refused = instance.guard("arm")
    assert refused.returncode == 1
    assert "CANNOT be guarded: destroy it yourself" in refused.stderr


def test_a_key_that_the_api_refuses_is_reported_when_it_is_armed(instance: Instance) -> None:
    # Once through the proxies, once without.
    instance.stand_in.faults += [Fault("PUT", "/instances/", status=401) for _ in range(2)]
    assert "WARNING: the rental's API did not accept this instance's key" in instance.arm().stderr


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


def test_the_guard_does_not_use_the_account_key(instance: Instance) -> None:
    sources = (ROOT / "deploy/guard.sh", *(ROOT / "deploy/instance").glob("*.py"))
    text = "".join(source.read_text() for source in sources)
    assert "VAST_API_KEY" not in text
    assert not re.search(rf"{ACCOUNT_KEY}|{os.sep}vast_api_key", text)
