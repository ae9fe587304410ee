"""The last resort, in processes of its own: SIGALRM belongs to the whole process."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.server import ROOT

BEGIN = """
import ctypes, os, signal, sys, time
from turbostream.stream import fuse as module
module.GRACE_S = 1
fuse = module.Fuse(sys.stderr)

def second_stage():
    'Whether the first stage has fired, so that the second one is on its way.'
    return signal.getitimer(signal.ITIMER_REAL)[0] > 0

"""
FIRED = """
module.GRACE_S = 600
fuse = module.Fuse(sys.stderr)
fuse.put_off(0.1)
while not second_stage():
    time.sleep(0.01)
"""  # the first stage, and the second is far away
needs_timer = pytest.mark.skipif(sys.platform != "linux", reason="needs a kernel timer")


def run(script: str, begin: str = BEGIN) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", begin + script]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


@needs_timer
def test_a_hang_that_holds_the_gil_ends_the_process_with_its_stacks() -> None:
    done = run("fuse.put_off(0.1)\nctypes.PyDLL(None).sleep(600)")
    assert done.returncode == -signal.SIGALRM
    assert 'File "<string>"' in done.stderr


@needs_timer
def test_a_first_stage_that_has_fired_is_put_off_too() -> None:
    done = run(
        FIRED
        + """
fuse.put_off(600)
print(second_stage())
"""
    )
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


@needs_timer
def test_a_fuse_that_is_removed_ends_nothing() -> None:
    done = run(
        FIRED
        + """
fuse.remove()
print(second_stage())
other = module.Fuse(sys.stderr)
other.put_off(0.1)
other.remove()
time.sleep(1)
print(second_stage())
"""
    )
    assert (done.returncode, done.stdout) == (0, "False\nFalse\n"), done.stderr


@needs_timer
def test_after_the_removal_an_alarm_of_others_writes_no_stacks() -> None:
    done = run("fuse.remove()\nos.kill(os.getpid(), signal.SIGALRM)")
    assert (done.returncode, done.stderr) == (-signal.SIGALRM, "")


def test_elsewhere_the_timer_of_faulthandler_ends_the_process() -> None:
    elsewhere = "import sys\nsys.platform = 'other'\n" + BEGIN
    done = run("fuse.put_off(0.1)\ntime.sleep(600)", elsewhere)
    assert done.returncode == 1
    assert 'File "<string>"' in done.stderr
    done = run("fuse.put_off(0.1)\nfuse.remove()\ntime.sleep(3)\nprint('lives')", elsewhere)
    assert (done.returncode, done.stdout) == (0, "lives\n"), done.stderr
