"""A start whose disk fills up at one of its steps: it works or says why, the serving release keeps
serving, and an armed guard stays armed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.deploy.host import PATIENCE_S, Host, healthy, wait_for
from tests.deploy.laptop import Laptop
from tests.deploy.standin import CONTAINER_KEY, StandIn
from tests.deploy.watching import Viewer
from tests.disks import Disk, mounted, needs_mounts

START = "start_stream_server.sh"

pytestmark = [needs_mounts, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def disk(host: Host) -> Iterator[Disk]:
    with mounted(host.base, "size=200m,nr_inodes=5000") as disk:
        yield disk
        host.end()


@pytest.fixture(scope="module")
def started(disk: Disk, laptop: Laptop) -> None:
    done = laptop.run(START, START_NEEDED_MB="1", timeout_s=150)
    assert done.returncode == 0, done.stderr


@pytest.fixture(autouse=True)
def room_afterwards(disk: Disk) -> Iterator[None]:
    yield
    disk.make_room()


def start_in_trouble(laptop: Laptop, step: str, cause: Callable[[], None]) -> None:
    """Cause it at that step of a start, which either works or says why not."""
    with laptop.running(START, START_NEEDED_MB="1", START_WAIT_S="90") as running:
        running.wait_said(step, 90)
        cause()
        status = running.process.wait(150)
        said = running.said
    assert "Traceback" not in said
    assert status == 0 or "disk is full" in said or "No space left" in said, said
    assert status == 0 or "It was not started" in said or "has no space left. Remove" in said, said


@pytest.mark.parametrize("step", ["copying to", "starting; a running server", "waiting: "])
def test_a_disk_that_fills_up_during_a_start_does_not_stop_the_stream(
    host: Host, laptop: Laptop, disk: Disk, started: None, step: str
) -> None:
    with Viewer(host.server_port) as viewer:
        wait_for(lambda: viewer.frames, PATIENCE_S, "a frame")
        for cause in (disk.fill, disk.use_up_inodes):
            start_in_trouble(laptop, step, cause)
            wait_for(lambda: healthy(host.server_port), PATIENCE_S, "health")
            shown = laptop.run(START, "--status")
            assert shown.returncode == 0, shown.stdout
            if disk.takes_nothing:
                full = "disk      FULL: nothing can be stored or started; make room"
                assert full in shown.stdout
            disk.make_room()
    assert viewer.refused == 0
    done = laptop.run(START, START_NEEDED_MB="1", timeout_s=150)
    assert done.returncode == 0, done.stderr


def test_a_start_on_a_full_disk_leaves_the_instance_guarded(
    host: Host, laptop: Laptop, disk: Disk, started: None, stand_in: StandIn
) -> None:
    rented = stand_in.rent(stand_in.offers[0], "website")
    host.rental.write_text(f"CONTAINER_ID={rented.id}\0CONTAINER_API_KEY={CONTAINER_KEY}\0")
    with laptop.running(START, START_NEEDED_MB="1", START_WAIT_S="60") as running:
        running.wait_said("starting; a running server", 90)
        disk.fill()
        running.process.wait(150)
        said = running.said
    assert "armed: given back at" in said, said
    shown = laptop.run(START, "--status")
    assert "guard     armed: given back at" in shown.stdout
    disk.make_room()
    done = laptop.run(START, "--hours", "0.001", START_NEEDED_MB="1", timeout_s=150)
    assert done.returncode == 0, done.stderr
    wait_for(lambda: stand_in.left == [], 60, "the end of the rental")
    host.rental.write_text("")
