"""The guard on a full disk: the rental ends in time, and the full disk is reported."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import psutil
import pytest

from tests.deploy.guarded import LONG_S, Instance
from tests.deploy.host import PATIENCE_S, wait_for
from tests.disks import Disk, mounted, needs_mounts

pytestmark = needs_mounts

FULL = "The disk of this machine is full: make room on it."


@pytest.fixture
def disk(instance: Instance) -> Iterator[Disk]:
    with mounted(instance.state) as disk:
        yield disk
        instance.end()


def watcher(instance: Instance) -> psutil.Process:
    return psutil.Process(int((instance.state / "guard.pid").read_text()))


@contextmanager
def on_time(instance: Instance, seconds: float) -> Iterator[None]:
    """The rental ends, but not earlier than this many seconds from now."""
    begun = time.monotonic()
    yield
    wait_for(instance.gone, LONG_S, "the end of the rental")
    assert time.monotonic() - begun > seconds - 2


def test_armed_on_a_nearly_full_disk_it_ends_the_rental(rent: Callable[[], Instance]) -> None:
    with ExitStack() as disks:
        instances = {rent(): pages for pages in range(10)}
        for instance, pages in instances.items():
            disks.enter_context(mounted(instance.state)).fill(pages)
        for instance in instances:
            assert FULL in instance.arm(hours_s=4).stderr
        for instance, pages in instances.items():
            wait_for(instance.gone, LONG_S, f"the end of the rental with {pages} pages")
            for name in ("guard.json", "guard.state"):
                file = instance.state / name
                text = file.read_text() if file.exists() else ""
                assert not text or (json.loads(text) if name == "guard.json" else text.split())
            instance.end()


@pytest.mark.parametrize("trouble", ["full", "no inodes", "read-only", "folder removed"])
def test_a_disk_that_fails_while_it_is_armed_changes_nothing(
    instance: Instance, trouble: str
) -> None:
    with mounted(instance.state, "size=256k,nr_inodes=50") as disk, on_time(instance, 6):
        instance.arm(hours_s=6)
        if trouble == "full":
            disk.fill()
        elif trouble == "no inodes":
            disk.use_up_inodes()
        elif trouble == "read-only":
            disk.make_read_only()
        else:
            for path in instance.state.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        status = instance.guard("status")
        assert status.returncode == 0
        assert status.stdout.startswith("armed: given back at ")
        wait_for(instance.gone, LONG_S, "the end of the rental")
        instance.end()


def test_a_state_folder_that_is_removed_is_created_again(instance: Instance) -> None:
    with on_time(instance, 5):
        instance.arm(hours_s=5)
        shutil.rmtree(instance.state)
        wait_for((instance.state / "guard.json").exists, PATIENCE_S, "the file")
        assert instance.shown["armed"]


def test_on_a_full_disk_its_files_are_still_written_and_say_so(
    instance: Instance, disk: Disk
) -> None:
    instance.arm(hours_s=600)
    disk.fill()
    wait_for(lambda: FULL in instance.shown["message"], PATIENCE_S, "the sentence")
    left = instance.shown["hard_left_s"]
    wait_for(lambda: instance.shown["hard_left_s"] < left, PATIENCE_S, "the next second")
    assert instance.counted[0] < 600
    disk.make_room()
    wait_for(lambda: FULL not in instance.shown["message"], PATIENCE_S, "the end of the sentence")
    log = instance.state / "guard.log"
    wait_for(
        lambda: "the disk has space again" in log.read_text(), PATIENCE_S, "its line in the log"
    )
    assert f"WARNING: {FULL}" in log.read_text()


def test_on_a_full_disk_it_can_be_extended_by_an_hour(instance: Instance, disk: Disk) -> None:
    instance.arm(hours_s=600)
    disk.fill()
    assert instance.guard("extend", "--minutes", "60").returncode == 0
    wait_for(lambda: instance.shown["hard_left_s"] > 3600, PATIENCE_S, "the hour")
    assert not [file for file in instance.state.iterdir() if "extend" in file.name]


def test_without_inodes_it_says_that_it_was_not_extended(instance: Instance) -> None:
    with mounted(instance.state, "size=256k,nr_inodes=50") as disk:
        instance.arm(hours_s=600)
        disk.use_up_inodes()
        done = instance.guard("extend")
        assert done.returncode == 1
        assert "it was NOT extended" in done.stderr
        assert not [file for file in instance.state.iterdir() if "extend" in file.name]
        instance.end()


def test_a_request_whose_file_cannot_be_removed_is_granted_once(
    instance: Instance, disk: Disk
) -> None:
    instance.arm(hours_s=3)
    guard = watcher(instance)
    guard.send_signal(signal.SIGSTOP)
    instance.guard("extend", "--minutes", "0.1")
    disk.make_read_only()
    with on_time(instance, 6):
        guard.send_signal(signal.SIGCONT)


def test_after_a_kill_on_a_full_disk_the_next_one_resumes_its_count(
    instance: Instance, disk: Disk
) -> None:
    instance.arm(hours_s=600)
    disk.fill()
    wait_for(lambda: instance.counted[0] < 598, PATIENCE_S, "two seconds")
    guard = watcher(instance)
    guard.kill()
    guard.wait(PATIENCE_S)
    assert instance.guard("status").returncode == 1
    assert FULL in instance.guard("arm", "--port", str(instance.port)).stderr
    assert instance.guard("status").returncode == 0
    assert instance.counted[0] <= 598


def test_armed_on_a_full_disk_it_still_reports_its_time(instance: Instance, disk: Disk) -> None:
    disk.fill()
    instance.arm(hours_s=7200)
    status = instance.guard("status")
    assert status.returncode == 0
    assert "now 60 minutes are left" in status.stdout
    again = instance.guard("arm", "--port", str(instance.port))
    assert "now 60 minutes are left" in again.stderr
