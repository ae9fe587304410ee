"""Instances that lack disk space, Python or rsync, by mounts that only they see."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.deploy.host import Host, path_without
from tests.deploy.laptop import Laptop

START = "start_stream_server.sh"
HIDE = 'for hidden in {}; do [ ! -e "$hidden" ] || mount --bind /dev/null "$hidden"; done'
PYTHONS = "/usr/bin/python3* /usr/local/bin/python3* /venv/main/bin/python"

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="mounts need root"
)


@pytest.fixture
def restart(host: Host, laptop: Laptop) -> Iterator[Callable[[str], None]]:
    """Restarts the host with these mounts, and without them afterwards."""

    def restart(mounts: str) -> None:
        host.kill()
        host.start(mounts)

    yield restart
    restart("")


@pytest.fixture(scope="module")
def path_without_rsync(place: Path) -> str:
    return path_without(place / "tools", "rsync")


def released(host: Host) -> dict[Path, bytes]:
    """The files of the newest release."""
    newest = max((host.base / "releases").iterdir())
    files = [file for file in newest.rglob("*") if file.is_file()]
    return {
        file.relative_to(newest): file.read_bytes() for file in files if ".deploy" not in file.parts
    }


def program(laptop: Laptop) -> dict[Path, bytes]:
    """The files that a release has to contain."""
    names = ("realtime_stream.py", "process_batch.py", "requirements.txt", "setup.sh")
    scripts = ("deploy/host.sh", "deploy/loop.sh", "deploy/guard.sh")
    folders = ("turbostream", "deploy/environment", "deploy/host", "deploy/instance")
    files = [laptop.scripts / name for name in (*names, *scripts)]
    for folder in folders:
        files += [file for file in (laptop.scripts / folder).rglob("*") if file.is_file()]
    return {file.relative_to(laptop.scripts): file.read_bytes() for file in files}


def test_too_small_a_disk_is_reported_before_anything_is_copied(
    host: Host, laptop: Laptop, restart: Callable[[str], None]
) -> None:
    restart(f"mount -t tmpfs -o size=4m none {host.base}")
    done = laptop.run(START)
    assert done.returncode == 1
    assert (
        f"The instance's disk is full: {host.base} has 4 MB free and 300 are needed." in done.stderr
    )
    assert "copying" not in done.stderr


@pytest.mark.parametrize("tool", ["rsync", "tar"])
def test_a_disk_that_fills_up_during_the_copy_is_reported(
    host: Host,
    laptop: Laptop,
    restart: Callable[[str], None],
    path_without_rsync: str,
    tool: str,
) -> None:
    restart(f"mount -t tmpfs -o size=4m none {host.base}")
    path = laptop.environment["PATH"] if tool == "rsync" else path_without_rsync
    done = laptop.run(START, START_NEEDED_MB="1", PATH=path)
    assert done.returncode == 1
    assert f"The instance's disk is full: {host.base} has no space left." in done.stderr, (
        done.stderr
    )


def test_a_disk_with_space_for_the_program_but_not_its_packages_is_reported(
    host: Host, laptop: Laptop, restart: Callable[[str], None]
) -> None:
    restart(f"mount -t tmpfs -o size=90m none {host.base}")
    done = laptop.run(START, START_NEEDED_MB="1", INSTANCE_PYTHON=None)
    assert done.returncode == 1
    assert f"needs 3 GB of disk, and {host.base}/envs has 0 GB free: make room" in done.stderr


def test_without_python_on_the_instance_the_message_says_what_to_install(
    host: Host, laptop: Laptop, restart: Callable[[str], None]
) -> None:
    host.fake_program("dpkg-query", "exit 1")
    host.fake_program("apt-get", 'echo "E: Unable to locate package" >&2; exit 100')
    restart(HIDE.format(PYTHONS))
    done = laptop.run(START, INSTANCE_PYTHON=None)
    assert done.returncode == 1
    assert "Python 3.11 to 3.14 is needed and none was found: install one (" in done.stderr
    assert "It was not started; the reason is shown above." in done.stderr


def test_too_old_a_python_on_the_instance_is_reported(
    host: Host, laptop: Laptop, restart: Callable[[str], None]
) -> None:
    host.fake_program("dpkg-query", "exit 1")
    host.fake_program("apt-get", 'echo "E: Unable to locate package" >&2; exit 100')
    host.fake_program("python3", 'case "$*" in *version_info*) echo 3.9 ;; *) exit 1 ;; esac')
    restart(HIDE.format(PYTHONS))
    done = laptop.run(START, INSTANCE_PYTHON=None)
    (host.fake / "python3").unlink()
    assert done.returncode == 1
    assert f"Python 3.11 to 3.14 is needed and {host.fake}/python3 is 3.9: install" in done.stderr


def test_tools_that_cannot_be_installed_on_the_instance_are_listed(
    host: Host,
    laptop: Laptop,
    restart: Callable[[str], None],
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host.fake_program("dpkg-query", "exit 1")
    host.fake_program("apt-get", 'echo "E: no network" >&2; exit 100')
    path = f"{host.fake}:{path_without(place / 'no-curl', 'curl')}"
    monkeypatch.setitem(host.environment, "PATH", path)
    restart("")
    done = laptop.run(START)
    assert done.returncode == 1
    assert "the instance lacks curl: setup.sh installs them there." in done.stderr
    assert "The instance still lacks curl: install them there as root" in done.stderr


@pytest.mark.parametrize("side", ["here", "there"])
def test_without_rsync_the_program_is_copied_by_tar(
    host: Host,
    laptop: Laptop,
    restart: Callable[[str], None],
    path_without_rsync: str,
    monkeypatch: pytest.MonkeyPatch,
    side: str,
) -> None:
    lacking = laptop if side == "here" else host
    monkeypatch.setitem(lacking.environment, "PATH", path_without_rsync)
    restart("")
    laptop.run(START, INSTANCE_PYTHON="/nowhere")
    assert released(host) == program(laptop)
