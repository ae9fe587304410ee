"""guard.sh's commands: start the guard and read back that it watches, ask it, end it."""

from __future__ import annotations

import argparse
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import IO, NoReturn

from files import CAREFULLY, Kept, read_small
from guard import FILES, NUMBER, Count, uptime, watch
from rental import Rental, identity

READY_S = 30.0  # a watcher that has not reported by then has failed
SILENT_S = 120  # a guard that could write has written within this time
NONE = "nothing ends this rental but you"


def say(text: str) -> None:
    with suppress(OSError):  # whoever listened may be gone
        print(f"[guard] {text}", file=sys.stderr, flush=True)


def die(text: str) -> NoReturn:
    say(text)
    sys.exit(1)


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
    with suppress(OSError):  # it is said by whoever needs it
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


# --- what is there -----------------------------------------------------------------------------


def watchers(state: Path) -> dict[int, Count | None]:
    """The processes that watch for this folder, by their command lines, which need no disk; with
    the count that each began with, where it says so."""
    found: dict[int, Count | None] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            owner = os.stat(f"/proc/{name}").st_uid
            words = Path(f"/proc/{name}/cmdline").read_text(errors="replace").split("\0")
        except OSError:
            continue  # it has just ended
        if owner not in (0, os.geteuid()):
            continue
        for place in range(len(words) - 3):
            command, what, option, folder = words[place : place + 4]
            if (os.path.basename(command), what, option) != ("guard.sh", "watch", "--state"):
                continue
            if os.path.abspath(folder) == str(state):
                began = words[words.index("--count") + 1] if "--count" in words else ""
                found[int(name)] = Count.of(began)
    return found


def load(state: Path) -> Count | None:
    """What the last guard wrote; None, and said, where that is not what a guard writes."""
    file = state / "guard.state"
    try:
        text = read_small(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        say(f"{file} is not used: {error.strerror}.")
        return None
    count = Count.of(text)
    if count is None and text.strip():
        say(f"{file} is not what a guard writes, and is not used.")
    return count


def count_now(state: Path, found: dict[int, Count | None]) -> Count | None:
    """As guard.state has it; as the watcher began, where it could not be written since then."""
    count = load(state)
    for began in found.values():
        if began is not None and (count is None or count.uptime < began.uptime):
            count = began
    if count is not None and found:
        count.hard_left -= max(0, uptime() - count.uptime)
    return count


# --- arm ---------------------------------------------------------------------------------------


def seconds(text: str, name: str, unit: int) -> int:
    if not NUMBER.fullmatch(text):
        die(f"{name} needs a number, not {text[:40]!r}: this instance is NOT guarded.")
    return int(float(text) * unit + 0.5)


def arm(program: str, state: Path, options: argparse.Namespace) -> int:
    rented = identity()
    if rented is None:
        if not options.if_rented:
            die(
                "CONTAINER_ID and CONTAINER_API_KEY are not there, so this instance CANNOT be "
                "guarded: destroy it yourself."
            )
        say(f"this machine has no rental key, so there is no guard: {NONE}.")
        return 0
    before = watchers(state)
    count = count_now(state, before)
    same = not options.hours and not options.idle_minutes
    ours = (
        before and None not in before.values()
    )  # an older release's could not outlive a full disk
    if ours and count is not None and same and count.port == options.port:
        say(count.line())
        return 0
    if count is None or options.hours:
        hours = seconds(options.hours or os.environ.get("GUARD_HOURS") or "3", "--hours", 3600)
        count = Count(hours, count.idle_limit if count else 0, 0, 0, 0)
    if count.idle_limit <= 0 or options.idle_minutes:
        text = options.idle_minutes or os.environ.get("GUARD_IDLE_MINUTES") or "30"
        count.idle_limit = seconds(text, "--idle-minutes", 60)
    count.idle_used, count.uptime, count.port = 0, uptime(), options.port
    with suppress(OSError):
        os.unlink(state / "guard.extend")
    start_watcher(program, state, count, rented, before)
    say(count.line())
    say("change it: --hours, --idle-minutes, --no-guard of start_stream_server.sh.")
    try_key(Rental(*rented))
    return 0


def try_key(rental: Rental) -> None:
    code = 0
    for direct in (False, True):
        code = rental.call("PUT", '{"state": "running"}', direct)  # changes nothing
        if 200 <= code < 300:
            return
    say(
        "CAREFUL: the rental's API did not take this instance's key when tried "
        f"(HTTP {code:03d}): destroy it yourself when you are done."
    )


def start_watcher(
    program: str,
    state: Path,
    count: Count,
    rented: tuple[str, str],
    before: Collection[int],
) -> None:
    """Start one, read back that it watches, then end those before it: never is there none."""
    command = ["bash", program, "watch", "--state", str(state), "--count", count.as_text()]
    environment = {name: text for name, text in os.environ.items() if name != "CONTAINER_API_KEY"}
    with open_log(state / "guard.log") as log:
        try:
            watcher = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            not_watching(state, f"it cannot be started: {error.strerror}")
    assert watcher.stdin is not None
    assert watcher.stdout is not None
    with suppress(OSError):  # it may have ended: then it does not report either
        # The key goes through the pipe: never through argv, the environment or a file.
        watcher.stdin.write("{}\n{}\n".format(*rented).encode())
        watcher.stdin.flush()
    if report(watcher.stdout) != "watching":
        watcher.kill()
        watcher.wait()
        not_watching(state, f"it did not report; {state}/guard.log may say why")
    end(before)
    watcher.stdin.close()
    trouble = report(watcher.stdout)
    if trouble:
        say(f"CAREFUL: {trouble} The guard counts in memory, and ends the rental all the same.")


def open_log(path: Path) -> IO[bytes]:
    """For what the watcher says before it keeps a log itself."""
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | CAREFULLY
        return open(os.open(path, flags, 0o600), "ab")
    except OSError:
        return open(os.devnull, "ab")


def report(pipe: IO[bytes]) -> str:
    """The watcher's next line; nothing where it has ended or is not heard."""
    if not select.select([pipe], [], [], READY_S)[0]:
        return ""
    return os.read(pipe.fileno(), 4096).decode("utf-8", "replace").strip()


def not_watching(state: Path, why: str) -> NoReturn:
    left = watchers(state)
    goes_on = "the guard that was armed before goes on" if left else f"{NONE}: destroy it yourself"
    die(f"the guard does NOT watch ({why}): {goes_on}.")


def end(processes: Collection[int]) -> None:
    """End them, by force after some seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            with suppress(OSError):
                os.kill(process, number)
        until = time.monotonic() + 3
        while time.monotonic() < until:
            if not any(map(lives, processes)):
                return
            time.sleep(0.05)


def lives(process: int) -> bool:
    """It is there, and no zombie that nobody waits for."""
    try:
        state = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2]
    except OSError:
        return False
    return state.split()[0] not in ("Z", "X")


# --- the other commands ------------------------------------------------------------------------


def status(state: Path) -> int:
    found = watchers(state)
    if not found:
        print(f"none: {NONE}")
        return 1
    count = count_now(state, found)
    if count is None:
        print("armed, but its time cannot be read: guard.sh arm starts it again")
        return 0
    print(count.line())
    age = uptime() - count.uptime
    if age > SILENT_S:
        print(f"careful: {state}/guard.state is {age} s old: is the disk full? The guard counts on")
    return 0


def extend(state: Path, text: str) -> int:
    if not NUMBER.fullmatch(text):
        die(f"--minutes needs a number, not {text[:40]!r}.")
    wish, new = state / "guard.extend", state / f".guard.extend.{os.getpid()}"
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | CAREFULLY, 0o600)
        try:
            os.write(descriptor, f"{text}\n".encode())
        except OSError as error:
            # An empty file needs no room, and is an hour.
            say(f"{new} took no number ({error.strerror}): asking for an hour.")
        finally:
            os.close(descriptor)
        os.replace(new, wish)
    except OSError as error:
        with suppress(OSError):
            os.unlink(new)
        die(f"it was NOT extended: {wish} cannot be written ({error.strerror}). Make room there.")
    return 0


def disarm(state: Path) -> int:
    end(watchers(state))
    if watchers(state):
        die("the guard could NOT be ended: it ends the rental when its time is up.")
    for name in FILES:
        Kept(state / name).remove()
    with suppress(OSError):
        os.unlink(state / "guard.extend")
    say(f"disarmed: {NONE}.")
    return 0
