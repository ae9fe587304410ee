"""guard.sh arm: start the guard, and read back that it watches."""

from __future__ import annotations

import argparse
import os
import select
import subprocess
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import IO, NoReturn

from files import SAFE_FLAGS
from limits import NUMBER, Count, uptime
from messages import NONE, die, say
from rental import Rental, identity
from watchers import count_now, end, watchers

READY_S = 30.0  # a watcher that has not reported by then has failed


def seconds(text: str, name: str, unit: int) -> int:
    if not NUMBER.fullmatch(text):
        die(f"{name} needs a number, not {text[:40]!r}: this instance is NOT guarded.")
    return int(float(text) * unit + 0.5)


def arm(program: str, state: Path, options: argparse.Namespace) -> int:
    rented = identity()
    if rented is None:
        if not options.if_rented:
            die(
                "CONTAINER_ID and CONTAINER_API_KEY are missing, so this instance CANNOT be "
                "guarded: destroy it yourself."
            )
        say(f"this machine has no rental key, so there is no guard: {NONE}.")
        return 0
    before = watchers(state)
    count = count_now(state, before)
    same = not options.hours and not options.idle_minutes
    # A watcher without a count is an older release's, which could not outlive a full disk.
    is_current = before and None not in before.values()
    if is_current and count is not None and same and count.port == options.port:
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
        "WARNING: the rental's API did not accept this instance's key "
        f"(HTTP {code:03d}): destroy it yourself when you are done."
    )


def start_watcher(
    program: str,
    state: Path,
    count: Count,
    rented: tuple[str, str],
    before: Collection[int],
) -> None:
    """Start one, read back that it watches, then end the earlier ones: at any time there is one."""
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
    with suppress(OSError):  # if it has ended, it does not report either
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
        say(f"WARNING: {trouble} The guard counts in memory and still ends the rental.")


def open_log(path: Path) -> IO[bytes]:
    """For the watcher's stderr, until it keeps a log itself."""
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | SAFE_FLAGS
        return open(os.open(path, flags, 0o600), "ab")
    except OSError:
        return open(os.devnull, "ab")


def report(pipe: IO[bytes]) -> str:
    """The watcher's next line; empty if it has ended or sends none in time."""
    if not select.select([pipe], [], [], READY_S)[0]:
        return ""
    return os.read(pipe.fileno(), 4096).decode("utf-8", "replace").strip()


def not_watching(state: Path, why: str) -> NoReturn:
    left = watchers(state)
    remaining = (
        "the guard that was armed before keeps watching" if left else f"{NONE}: destroy it yourself"
    )
    die(f"the new guard does NOT watch ({why}): {remaining}.")
