"""The guard of a rented instance: gives it back when its time is up or nobody is watching.

A process of its own, whose command line and help are guard.sh. Both limits are counted in memory:
the files in STATE_DIR are for others to read and for a guard that is started later. One that cannot
be written or read is reported, and does not stop the count.

| file         | who writes it      | what it holds                                               |
| ------------ | ------------------ | ----------------------------------------------------------- |
| guard.state  | the guard          | `HARD_LEFT IDLE_LIMIT IDLE_USED UPTIME PORT`, in seconds    |
| guard.json   | the guard          | what the server shows under /status                         |
| guard.extend | server or guard.sh | minutes; an empty file, possible on a full disk, is an hour |
| guard.pid    | the guard          | its process, for older releases that read it                |
| guard.log    | the guard          | what it did                                                 |
"""

from __future__ import annotations

import json
import os
import re
import select
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from files import Log, PreallocatedFile, has_space, read_small
from limits import NUMBER, Count, uptime
from rental import Rental, is_watched

TICK_S = float(os.environ.get("GUARD_TICK_S") or 10)
LONGEST_PAUSE_S = 60.0
HANDOVER_S = 15.0  # the longest that arm takes to end the previous guard
EXTENSION_MINUTES = 60.0  # for an empty request

FILES = ("guard.state", "guard.json", "guard.pid")


class Guard:
    """Counts, reports, and ends the rental."""

    def __init__(self, state: Path, count: Count, rental: Rental) -> None:
        self.trouble = ""  # why its files cannot be written, in one sentence
        self._state, self._count, self._rental = state, count, rental
        self._files = {name: PreallocatedFile(state / name) for name in FILES}
        self._log = Log(state / "guard.log")
        self._granted: object = None  # the request that was granted last

    def tick(self) -> None:
        """Count the time since the last tick."""
        now = uptime()
        passed = now - self._count.uptime
        if passed < 0:  # the machine was restarted
            passed = int(TICK_S)
        self._count.uptime = now
        self._count.hard_left -= passed
        if self._is_busy() or is_watched(self._count.port):
            self._count.idle_used = min(self._count.idle_used, 0)
        else:
            self._count.idle_used += passed
        self._take_request()

    def report(self, message: str | None = None) -> None:
        """Write the files that others read; what fails is retried at the next tick."""
        count, now = self._count, int(time.time())
        full = self._look_at_disk()
        if message is None:
            message = count.warning()
        shown: dict[str, Any] = {
            "armed": True,
            "ends_at": now + count.left,
            "written_at": now,
            "message": " ".join(
                filter(None, (count.warning() if message is None else message, full))
            ),
            "hard_left_s": count.hard_left,
            "idle_left_s": count.idle_left,
        }
        texts = {
            "guard.state": f"{count.as_text()}\n",
            "guard.json": f"{json.dumps(shown)}\n",
            "guard.pid": f"{os.getpid()}\n",
        }
        trouble = full
        for name, text in texts.items():
            try:
                self._files[name].write(text)
            except OSError as error:
                trouble = full or f"{self._state}/{name} cannot be written ({error.strerror})."
        if trouble != self.trouble:
            still = "The time is counted in memory, and the rental still ends."
            self._log.say(f"WARNING: {trouble} {still}" if trouble else "the disk has space again.")
            self.trouble = trouble
        self._log.flush()

    def run(self) -> NoReturn:
        """Count until the time is up, then give the instance back."""
        while True:
            self.tick()
            self.report()
            count = self._count
            if count.left <= 0:
                self._log.say(
                    f"time is up: hard limit {count.hard_left} s, "
                    f"without a viewer {count.idle_left} s left"
                )
                self._give_back()
            time.sleep(min(TICK_S, count.left))

    def _give_back(self) -> NoReturn:
        """Until this machine is gone, and this process with it. A reply of the API or a proxy does
        not prove that, so none ends the attempts. Every second attempt avoids the proxies."""
        tries, pause = 0, TICK_S
        while True:
            tries += 1
            direct = tries % 2 == 0
            self.report("This machine is being given back now.")
            code = self._rental.call("DELETE", direct=direct)
            self._log.say(f"destroy, attempt {tries}: HTTP {code:03d}")
            if tries % 5 == 0 and not (200 <= code < 300 or code == 404):
                code = self._rental.call("PUT", '{"state": "stopped"}', direct=direct)
                self._log.say(
                    f"stopping it instead, so that the GPU is no longer billed: HTTP {code:03d}"
                )
            time.sleep(pause)
            pause = min(2 * pause, max(LONGEST_PAUSE_S, TICK_S))

    def _look_at_disk(self) -> str:
        """One sentence if the disk is full; a folder that was removed is created again."""
        try:
            self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            return f"{self._state} cannot be created ({error.strerror})."
        if has_space(self._state):
            return ""
        return "The disk of this machine is full: make room on it."

    def _is_busy(self) -> bool:
        """A setup or a batch is running: busy/PID exists and so does the process."""
        try:
            names = os.listdir(self._state / "busy")
        except OSError:
            return False
        for name in filter(re.compile(r"[1-9][0-9]*").fullmatch, names):
            if os.path.isdir(f"/proc/{name}"):
                return True
            with suppress(OSError):
                os.unlink(self._state / "busy" / name)
        return False

    def _take_request(self) -> None:
        file = self._state / "guard.extend"
        try:
            found = os.lstat(file)
        except OSError:
            return
        # On a read-only disk the file cannot be removed; it is still granted only once.
        mark = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
        if mark == self._granted:
            return
        self._granted = mark
        try:
            request = read_small(file).strip()
        except OSError as error:
            request = f"unreadable ({error.strerror})"
        with suppress(OSError):
            os.unlink(file)
        if request and not NUMBER.fullmatch(request):
            self._log.say(f"guard.extend does not hold a number of minutes: {request[:40]!r}")
            return
        minutes = float(request) if request else EXTENSION_MINUTES
        seconds = int(minutes * 60 + 0.5)
        self._count.hard_left += seconds
        self._count.idle_used = min(self._count.idle_used, self._count.idle_limit - seconds)
        self._log.say(f"extended by {minutes:g} minutes")


def watch(state: Path, text: str) -> NoReturn:
    """The process that `arm` starts: `text` is the count; stdin has the rental's id and key."""
    count = Count.of(text)
    container, key = sys.stdin.readline().strip(), sys.stdin.readline().strip()
    if count is None or not key:
        sys.exit("guard.sh watch is started by guard.sh arm only.")
    with suppress(OSError):  # so that `killall python3` does not end it
        Path("/proc/self/comm").write_text("guard", encoding="ascii")
    guard = Guard(state, count, Rental(container, key))
    guard.tick()
    guard.report()
    with suppress(OSError):
        os.write(1, b"watching\n")
        select.select([0], [], [], HANDOVER_S)  # end of file: the previous guard has ended
        guard.report()
        os.write(1, f"{guard.trouble}\n".encode())
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    guard.run()
