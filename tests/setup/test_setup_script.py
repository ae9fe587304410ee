from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time

import psutil
import pytest

from tests.setup.machine import ROOT, Machine, pins

TORCH = pins((ROOT / "requirements.txt").read_text())["torch"]


PATIENCE_S = 30.0  # for what usually takes a moment; the machine may be busy


def painted(machine: Machine) -> int:
    return len((machine.home / "painted").read_text())


# --- the command line ---------------------------------------------------------------------------


def test_help_names_exactly_the_options_that_the_script_knows(machine: Machine) -> None:
    source = (ROOT / "setup.sh").read_text()
    known = re.findall(r"^ +(?:-h \| )?(--[a-z-]+)\) ?", source, re.MULTILINE)
    helped = re.findall(r"^  (?:-h, )?(--[a-z-]+)", machine.setup("--help").stdout, re.MULTILINE)
    assert sorted(helped) == sorted(known)


def test_an_unknown_option_is_a_usage_error(machine: Machine) -> None:
    said = machine.setup("--frobnicate", status=2)
    assert "no option --frobnicate" in said.stderr
    assert "Usage:" in said.stderr
    assert said.stdout == ""


def test_a_dry_run_changes_nothing(program: Machine) -> None:
    calls = program.fake_apt(installed=False)
    before = sorted(program.home.iterdir())
    said = program.setup("--dry-run", "--dev")
    assert f"torch=={TORCH}" in said.stderr
    assert sorted(program.home.iterdir()) == before
    assert calls.read_text() == ""


# --- alone on an instance -----------------------------------------------------------------------


def test_alone_it_installs_the_system_packages_and_says_what_comes_next(machine: Machine) -> None:
    calls = machine.fake_apt(installed=False)
    said = machine.setup()
    update, install = calls.read_text().splitlines()
    assert update.endswith("update")
    for package in ("git", "curl", "rsync", "python3-venv"):
        assert f" {package}" in install
    for word in ("start_stream_server.sh", "requirements.txt", "realtime_stream.py", "turbostream"):
        assert word in said.stderr
    assert [path.name for path in machine.home.iterdir()] == ["setup.sh"]


def test_alone_it_installs_nothing_if_everything_is_installed(machine: Machine) -> None:
    calls = machine.fake_apt(installed=True)
    machine.setup()
    assert calls.read_text() == ""


# --- what this machine cannot do, in one sentence -----------------------------------------------


@pytest.mark.parametrize("version", ["3.9", "2.7", "3.15", "4.0"])
def test_an_unsuitable_python_is_named(machine: Machine, version: str) -> None:
    machine.copy("requirements.txt", "deploy")
    machine.fake("another-python", f"echo {version}")
    machine.environment["PYTHON"] = str(machine.fakes / "another-python")
    [sentence] = machine.setup(status=1).stderr.splitlines()
    assert f"another-python is {version}" in sentence
    assert "Python 3.11 to 3.14 is needed" in sentence
    assert "python3.11-venv" in sentence


def test_an_nvidia_driver_too_old_for_any_build_is_named(machine: Machine) -> None:
    machine.copy("requirements.txt", "deploy")
    machine.fake_card("470.57.02", "8.6")
    [sentence] = machine.setup(status=1).stderr.splitlines()
    assert "470.57.02" in sentence
    assert "525.60" in sentence


def test_an_older_driver_without_the_index_of_pytorch_is_an_error(program: Machine) -> None:
    program.fake_card("550.54.15", "8.9")
    last = program.setup(status=1).stderr.splitlines()[-1]
    assert "driver 550.54.15 needs a CUDA 12 build" in last
    assert "TORCH_INDEX" in last


def test_too_small_a_disk_is_reported_before_anything_is_fetched(program: Machine) -> None:
    program.fake("df", "echo head; echo disk 0 0 1048576 0% /")
    last = program.setup(status=1).stderr.splitlines()[-1]
    assert "has 1 GB free" in last
    assert not (program.home / ".venv").exists()


# --- installing for real, from a small index ----------------------------------------------------


def test_plain_pip_is_used_if_the_index_of_pytorch_does_not_answer(program: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections, never answers
        program.environment["TORCH_INDEX"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        program.environment["TORCH_INDEX_WAIT_S"] = "1"
        began = time.monotonic()
        said = program.setup().stderr
        took = time.monotonic() - began
    warning = said.index("more than 1 GB to fetch")
    assert said.index("did not answer within 1 s") < warning < said.index("installing")
    assert program.version_of("torch") == TORCH
    assert painted(program) == 1

    began = time.monotonic()
    again = program.setup().stderr.splitlines()
    assert again == ["[setup] everything is in place (for the CPU)."]
    assert time.monotonic() - began < took / 2
    assert painted(program) == 1

    program.setup("--cluster")
    assert program.version_of("ray") == "2.60.0"
    assert program.setup("--cluster").stderr.splitlines() == again
    program.setup("--dev")
    assert program.version_of("pytest") == "9.2.0"
    program.setup("--check")
    assert painted(program) == 2


def test_the_build_for_the_cpu_comes_from_the_index_of_pytorch(
    quick_program: Machine, index: str
) -> None:
    quick_program.environment["TORCH_INDEX"] = index
    said = quick_program.setup().stderr
    assert "GB to fetch" not in said
    assert quick_program.version_of("torch") == f"{TORCH}+cpu"


def test_an_older_driver_gets_the_newest_cuda_12_build_there_is(
    quick_program: Machine, index: str
) -> None:
    quick_program.environment["TORCH_INDEX"] = index  # has cu126 only
    quick_program.fake_card("550.54.15", "8.9")
    quick_program.setup()
    assert quick_program.version_of("torch") == f"{TORCH}+cu126"


def test_the_remains_of_a_killed_run_are_repaired(quick_program: Machine) -> None:
    (quick_program.home / ".venv/.setup").mkdir(parents=True)
    (quick_program.home / ".venv/.setup/torn").touch()
    (quick_program.home / ".venv/bin").mkdir()
    gone = subprocess.Popen(["true"])
    gone.wait()
    (quick_program.home / ".venv.lock").mkdir()
    (quick_program.home / ".venv.lock/pids").write_text(f"{gone.pid}\n")
    quick_program.setup()
    assert painted(quick_program) == 1
    assert not (quick_program.home / ".venv.lock").exists()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_run_that_is_ended_soon_leaves_no_process(
    quick_machine: Machine, end: signal.Signals
) -> None:
    quick_machine.copy("requirements.txt", "deploy")
    quick_machine.environment |= {"PIP_RETRIES": "0", "PIP_TIMEOUT": "600"}
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections, never answers
        quick_machine.environment["PIP_INDEX_URL"] = (
            f"http://127.0.0.1:{silent.getsockname()[1]}/simple/"
        )
        process = quick_machine.start()
        silent.settimeout(60)
        connection, _ = silent.accept()
        with connection:
            children = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(end)
            if end == signal.SIGKILL:  # which cannot be passed on: its pip gets a reply, and fails
                process.wait(PATIENCE_S)
                lock = (quick_machine.home / ".venv.lock/pids").read_text().split()
                assert {child.pid for child in children} & set(map(int, lock))
                silent.close()
                connection.close()
            process.communicate(timeout=PATIENCE_S)
            _, alive = psutil.wait_procs(children, PATIENCE_S)
            assert not alive  # ended by nothing but the signal
    if end != signal.SIGKILL:
        assert process.returncode == 128 + end
        assert not (quick_machine.home / ".venv.lock").exists()


def test_a_holder_that_is_a_zombie_is_not_waited_for(
    quick_program: Machine,
) -> None:
    ended = subprocess.Popen(["true"])  # a zombie until the wait below
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    (quick_program.home / ".venv.lock").mkdir()
    (quick_program.home / ".venv.lock/pids").write_text(f"{ended.pid}\n")
    said = quick_program.setup().stderr
    ended.wait()
    assert "is running here" not in said


@pytest.mark.parametrize("has_python", [True, False])
def test_the_command_python_of_the_guide_is_installed_if_missing(
    machine: Machine, has_python: bool
) -> None:
    calls = machine.fake_apt(installed=False)
    for name in ("bash", "dirname", "uname", "id", "tr", "sed", "env", "python3"):
        found = shutil.which(name)
        assert found
        (machine.fakes / name).unlink(missing_ok=True)
        (machine.fakes / name).symlink_to(found)
    if has_python:
        machine.fake("python", "exit 0")
    machine.environment["PATH"] = str(machine.fakes)
    done = subprocess.run(
        [str(machine.fakes / "bash"), str(machine.home / "setup.sh"), "--system"],
        env=machine.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "curl" in calls.read_text()
    assert ("python-is-python3" in calls.read_text()) != has_python


def test_a_second_run_waits_for_the_first(machine: Machine) -> None:
    machine.copy("requirements.txt", "deploy")
    first = subprocess.Popen(["sleep", "infinity"])
    lock = machine.home / ".venv.lock"
    lock.mkdir()
    (lock / "pids").write_text(f"{first.pid}\n")
    second = machine.start()
    try:
        assert second.stderr is not None
        line = second.stderr.readline()
        assert f"another setup.sh (process {first.pid}) is running here" in line
        assert second.poll() is None
    finally:
        second.terminate()
        second.communicate(timeout=PATIENCE_S)
        first.kill()
        first.wait()
    assert lock.exists()  # it did not belong to the second one
