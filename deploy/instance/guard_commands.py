"""guard.sh's command line: arm, status, extend, disarm, and watch, which only arm starts."""

from __future__ import annotations

import argparse
import os
import signal
from contextlib import suppress
from pathlib import Path

from arm import arm
from files import SAFE_FLAGS, PreallocatedFile
from guard import FILES, watch
from limits import NUMBER, uptime
from messages import NONE, die, say
from watchers import count_now, end, watchers

SILENT_S = 120  # a guard that can write has written within this time


def main(program: str, arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="guard.sh", add_help=False, allow_abbrev=False)
    parser.add_argument("command", choices=("arm", "watch", "status", "extend", "disarm"))
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--hours", default="")
    parser.add_argument("--idle-minutes", default="")
    parser.add_argument("--minutes", default="60")
    parser.add_argument("--if-rented", action="store_true")
    parser.add_argument("--count", default="", help=argparse.SUPPRESS)  # watch
    options = parser.parse_args(arguments)
    state = Path(os.path.abspath(options.state))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with suppress(OSError):  # reported by the command that needs it
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    if options.command == "watch":
        watch(state, options.count)
    if options.command == "arm":
        return arm(program, state, options)
    if options.command == "status":
        return status(state)
    if options.command == "extend":
        return extend(state, options.minutes)
    return disarm(state)


def status(state: Path) -> int:
    found = watchers(state)
    if not found:
        print(f"none: {NONE}")
        return 1
    count = count_now(state, found)
    if count is None:
        print("armed, but its time cannot be read: guard.sh arm restarts it")
        return 0
    print(count.line())
    age = uptime() - count.uptime
    if age > SILENT_S:
        print(
            f"warning: {state}/guard.state is {age} s old, perhaps as the disk is full. "
            "The guard keeps counting"
        )
    return 0


def extend(state: Path, text: str) -> int:
    if not NUMBER.fullmatch(text):
        die(f"--minutes needs a number, not {text[:40]!r}.")
    request, new = state / "guard.extend", state / f".guard.extend.{os.getpid()}"
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | SAFE_FLAGS, 0o600)
        try:
            os.write(descriptor, f"{text}\n".encode())
        except OSError as error:
            # An empty file needs no space, and asks for an hour.
            say(f"the number cannot be written to {new} ({error.strerror}): asking for an hour.")
        finally:
            os.close(descriptor)
        os.replace(new, request)
    except OSError as error:
        with suppress(OSError):
            os.unlink(new)
        die(
            f"it was NOT extended: {request} cannot be written ({error.strerror}). Make room there."
        )
    return 0


def disarm(state: Path) -> int:
    end(watchers(state))
    if watchers(state):
        die("the guard could NOT be ended: it ends the rental when its time is up.")
    for name in FILES:
        PreallocatedFile(state / name).remove()
    with suppress(OSError):
        os.unlink(state / "guard.extend")
    say(f"disarmed: {NONE}.")
    return 0
