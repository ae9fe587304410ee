"""The watchdog, in processes of its own: it ends the whole process."""

from __future__ import annotations

import subprocess
import sys

from tests.server import ROOT

BEGIN = """
import logging, sys, threading, time
from turbostream.stream import fuse
from turbostream.stream.awake import AwakeClock
from turbostream.stream.watchdog import Watchdog
logging.basicConfig(stream=sys.stderr, format="%(message)s")
fuse.GRACE_S = 1
asked = []
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BEGIN + script]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_an_overdue_call_ends_the_process_with_its_sentence_and_the_stacks() -> None:
    done = run("""
def overdue(now):
    asked.append(now)
    return "It hangs." if len(asked) > 2 else None

Watchdog(overdue, 0, AwakeClock()).start()
def waits_for_ever():
    threading.Event().wait()
waits_for_ever()
""")
    assert done.returncode == 70
    assert "It hangs." in done.stderr
    assert "in waits_for_ever" in done.stderr


def test_the_watchdog_is_told_the_time_of_its_clock() -> None:
    done = run("""
clock = AwakeClock()
watchdog = Watchdog(lambda now: asked.append(now), 0, clock)
watchdog.start()
while len(asked) < 12:
    time.sleep(0.01)
watchdog.stop()
print(asked == sorted(asked), asked[-1] - asked[0] > 2.5, asked[-1] <= clock.now())
""")
    assert (done.returncode, done.stdout) == (0, "True True True\n"), done.stderr


def test_a_stopped_watchdog_ends_nothing() -> None:
    """Neither by its thread nor by the fuse behind it."""
    done = run("""
def overdue(now):
    asked.append(now)

watchdog = Watchdog(overdue, 0.1, AwakeClock())
watchdog.start()
while not asked:
    time.sleep(0.01)
watchdog.stop()
assert not [one for one in threading.enumerate() if one.name == "watchdog"]
time.sleep(4)
print("lives")
""")
    assert (done.returncode, done.stdout) == (0, "lives\n"), done.stderr


def test_a_watchdog_that_was_never_started_can_be_stopped() -> None:
    done = run("Watchdog(lambda now: None, 1, AwakeClock()).stop()\nprint('lives')")
    assert (done.returncode, done.stdout) == (0, "lives\n"), done.stderr
