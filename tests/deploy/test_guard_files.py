"""Other files in place of the guard's own: none is run, and none blocks it."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.deploy.guarded import Instance
from tests.deploy.host import ROOT

HOURS_S = 7200
DEEP = "[" * 4000
PLANTED = {
    "a command": "minutes[$(touch {ran})] 1800 0 1 8000\n",
    "a command as the limit": "10800 idle_limit[$(touch {ran})] 0 1 8000\n",
    "a command as the port": "10800 1800 0 1 8000;touch${{IFS}}{ran}\n",
    "400 digits": f"{'9' * 400} 1800 0 1 8000\n",
    "NaN": "NaN NaN NaN NaN NaN\n",
    "deep JSON": DEEP,
    "too few words": "10800 1800\n",
    "no text": "\0\xff\n",
}


@pytest.mark.parametrize("name", ["guard.state", "guard.json", "guard.extend"])
def test_files_that_the_guard_did_not_write_are_neither_run_nor_used(
    rent: Callable[[], Instance], tmp_path: Path, name: str
) -> None:
    instances = {what: rent() for what in PLANTED}
    for what, instance in instances.items():
        text = PLANTED[what].format(ran=tmp_path / "ran")
        instance.state.mkdir()
        (instance.state / name).write_text(text)
        assert instance.guard("status").returncode == 1
        done = instance.guard("arm", "--port", str(instance.port))
        assert done.returncode == 0, done.stderr
        assert "now 30 minutes are left" in done.stderr
        if name == "guard.extend":
            (instance.state / name).write_text(text)
    with ThreadPoolExecutor(len(instances)) as pool:  # their seconds pass at the same time
        lives = pool.map(lambda instance: instance.outlives(2), instances.values())
        assert dict(zip(instances, lives, strict=True)) == dict.fromkeys(PLANTED, True)
    for what, instance in instances.items():
        assert "now 30 minutes are left" in instance.guard("status").stdout, what
        assert instance.shown["hard_left_s"] <= 3 * 3600
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["FIFO", "device", "link", "dangling link", "folder"])
@pytest.mark.parametrize("name", ["guard.state", "guard.json", "guard.extend", "guard.log"])
def test_special_files_neither_block_it_nor_redirect_its_output(
    instance: Instance, tmp_path: Path, name: str, kind: str
) -> None:
    if kind == "device" and os.geteuid() != 0:
        pytest.skip("devices need root")
    instance.state.mkdir()
    planted, target = instance.state / name, tmp_path / "target"
    target.write_text("mine")
    target.chmod(0o640)
    if kind == "FIFO":
        os.mkfifo(planted)
    elif kind == "device":
        os.mknod(planted, 0o600 | 0o020000, os.makedev(1, 5))  # endless zeros
    elif kind == "folder":
        planted.mkdir()
    else:
        planted.symlink_to(target if kind == "link" else tmp_path / "nowhere")
    done = instance.guard("arm", "--port", str(instance.port), "--hours", "2")
    assert done.returncode == 0, done.stderr
    status = instance.guard("status")
    assert status.returncode == 0
    assert "now 30 minutes are left" in status.stdout
    assert target.read_text() == "mine"
    assert oct(target.stat().st_mode)[-3:] == "640"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's file needs root")
def test_a_state_file_of_another_user_is_not_used(instance: Instance) -> None:
    instance.state.mkdir()
    planted = instance.state / "guard.state"
    planted.write_text("999999999 999999999 0 1 8000\n")
    os.chown(planted, 65534, 65534)
    done = instance.guard("arm", "--port", str(instance.port))
    assert "another user wrote it" in done.stderr
    assert "now 30 minutes are left" in done.stderr


@pytest.mark.parametrize("hours", ["NaN", "-1", "1e9", "3h", "$(touch ran)", "9" * 400])
def test_a_limit_that_is_not_a_number_is_refused(instance: Instance, hours: str) -> None:
    done = instance.guard("arm", "--hours", hours)
    assert done.returncode == 1
    assert "--hours needs a number" in done.stderr
    assert "NOT guarded" in done.stderr
    assert "Traceback" not in done.stderr


def test_after_a_change_of_port_the_guard_asks_the_new_one(instance: Instance) -> None:
    instance.arm(hours_s=HOURS_S)
    assert instance.guard("arm", "--port", "9").returncode == 0
    state = (instance.state / "guard.state").read_text().split()
    assert state[4] == "9"
    assert int(state[0]) <= HOURS_S


@pytest.mark.parametrize("file", sorted((ROOT / "deploy/instance").glob("*.py")), ids=str)
def test_the_programs_of_the_instance_use_python_3_8_and_its_standard_library_only(
    file: Path,
) -> None:
    tree = ast.parse(file.read_text(), feature_version=(3, 8))
    assert "from __future__ import annotations\n" in file.read_text()
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).partition(".")[0])
    assert imported <= sys.stdlib_module_names | {other.stem for other in file.parent.glob("*.py")}
