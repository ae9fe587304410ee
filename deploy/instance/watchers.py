"""The guard's processes for a state folder: find them, read their count, end them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from files import read_small
from limits import Count, uptime
from messages import say


def watchers(state: Path) -> dict[int, Count | None]:
    """The processes that watch for this folder, with the count that each began with, if it says so.

    They are found by their command lines, which works with any disk.
    """
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
    """What the last guard wrote; None, with a message, if a guard would not write that."""
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
        say(f"{file} is malformed and is not used.")
    return count


def count_now(state: Path, found: dict[int, Count | None]) -> Count | None:
    """From guard.state, or what the watcher began with if the file could not be written since."""
    count = load(state)
    for began in found.values():
        if began is not None and (count is None or count.uptime < began.uptime):
            count = began
    if count is not None and found:
        count.hard_left -= max(0, uptime() - count.uptime)
    return count


def end(processes: Collection[int]) -> None:
    """SIGTERM, and SIGKILL after some seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            with suppress(OSError):
                os.kill(process, number)
        until = time.monotonic() + 3
        while time.monotonic() < until:
            if not any(map(is_alive, processes)):
                return
            time.sleep(0.05)


def is_alive(process: int) -> bool:
    """It exists and is not a zombie that nobody reaps."""
    try:
        state = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2]
    except OSError:
        return False
    return state.split()[0] not in ("Z", "X")
