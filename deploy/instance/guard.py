"""The guard of a rented instance: gives it back when its time is up or nobody watches any more.

guard.sh is its command line and its help. Both limits are counted in memory: the files in
STATE_DIR are for others to read and for a guard that is started later, and one that cannot be
written or read is said and never stops the count.

| file         | who writes it      | what it holds                                               |
| ------------ | ------------------ | ----------------------------------------------------------- |
| guard.state  | the guard          | `HARD_LEFT IDLE_LIMIT IDLE_USED UPTIME PORT`, in seconds    |
| guard.json   | the guard          | what the server shows under /status                         |
| guard.extend | whoever wants time | minutes; an empty file, possible on a full disk, is an hour |
| guard.pid    | the guard          | its process, for releases that look there                   |
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from files import Kept, Log, has_room, read_small
from rental import Rental, is_watched

TICK_S = float(os.environ.get("GUARD_TICK_S") or 10)
WARN_FIRST_S = int(os.environ.get("GUARD_WARN_FIRST_S") or 900)
WARN_LAST_S = int(os.environ.get("GUARD_WARN_LAST_S") or 300)
LONGEST_PAUSE_S = 60.0
HANDOVER_S = 15.0  # what arm takes to end the guard before this one
EXTENSION_MINUTES = 60.0  # what an empty wish asks for

FILES = ("guard.state", "guard.json", "guard.pid")
NUMBER = re.compile(r"[0-9]{1,6}(\.[0-9]{1,9})?")
STATE = re.compile(r"(-?[0-9]{1,10}) ([0-9]{1,10}) (-?[0-9]{1,10}) ([0-9]{1,10}) ([0-9]{1,5})")


def uptime() -> int:
    """Seconds, of the machine: a clock that jumps changes nothing."""
    return int(float(Path("/proc/uptime").read_text(encoding="ascii").split()[0]))


@dataclass
class Count:
    """The limits, in seconds. `idle_used` is negative after an extension."""

    hard_left: int
    idle_limit: int
    idle_used: int
    uptime: int  # of the machine, when this was counted
    port: int

    @property
    def idle_left(self) -> int:
        return self.idle_limit - self.idle_used

    @property
    def left(self) -> int:
        return min(self.hard_left, self.idle_left)

    def as_text(self) -> str:
        numbers = (self.hard_left, self.idle_limit, self.idle_used, self.uptime, self.port)
        return " ".join(map(str, numbers))

    @classmethod
    def of(cls, text: str) -> Count | None:
        found = STATE.fullmatch(text.strip())
        return cls(*(int(number) for number in found.groups())) if found else None

    def line(self) -> str:
        """What status and arm say."""
        ends = time.strftime("%H:%M", time.gmtime(time.time() + self.hard_left))
        return (
            f"armed: given back at {ends} UTC at the latest, and {_minutes(self.idle_limit)} "
            f"minutes after the last viewer; now {_minutes(self.left)} minutes are left"
        )

    def warning(self) -> str:
        left = self.left
        why = "its time is up" if self.hard_left <= self.idle_left else "nobody is watching"
        if left <= WARN_LAST_S:
            return (
                f"In {_minutes(left)} minutes this machine is given back ({why}): extend it now "
                "if you want to go on."
            )
        if left <= WARN_FIRST_S:
            return (
                f"This machine is given back in {_minutes(left)} minutes ({why}), unless it is "
                "extended."
            )
        return ""


def _minutes(seconds: int) -> int:
    return (seconds + 59) // 60


class Guard:
    """The watching process: counts, tells, and ends the rental."""

    def __init__(self, state: Path, count: Count, rental: Rental) -> None:
        self.trouble = ""  # why its files cannot be written, in one sentence
        self._state, self._count, self._rental = state, count, rental
        self._files = {name: Kept(state / name) for name in FILES}
        self._log = Log(state / "guard.log")
        self._taken: object = None  # the wish that was granted last

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
        self._take_wish()

    def tell(self, message: str | None = None) -> None:
        """Write what others read; what fails is said, and tried again at the next tick."""
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
            goes_on = "The time is counted in memory, and the rental ends all the same."
            self._log.say(
                f"CAREFUL: {trouble} {goes_on}" if trouble else "the disk has room again."
            )
            self.trouble = trouble
        self._log.flush()

    def run(self) -> NoReturn:
        """Count until the time is up, then give the instance back."""
        while True:
            self.tick()
            self.tell()
            count = self._count
            if count.left <= 0:
                self._log.say(
                    f"time is up: hard limit {count.hard_left} s, "
                    f"without a viewer {count.idle_left} s left"
                )
                self._give_back()
            time.sleep(min(TICK_S, count.left))

    def _give_back(self) -> NoReturn:
        """Until this machine is gone, and this process with it. What the API or a proxy answers
        is no proof of that, so no answer ends the attempts. Every second one avoids the proxies."""
        tries, pause = 0, TICK_S
        while True:
            tries += 1
            direct = tries % 2 == 0
            self.tell("This machine is being given back now.")
            code = self._rental.call("DELETE", direct=direct)
            self._log.say(f"destroy, attempt {tries}: HTTP {code:03d}")
            if tries % 5 == 0 and not (200 <= code < 300 or code == 404):
                code = self._rental.call("PUT", '{"state": "stopped"}', direct=direct)
                self._log.say(
                    f"stop instead, so that the graphics card is not billed on: HTTP {code:03d}"
                )
            time.sleep(pause)
            pause = min(2 * pause, max(LONGEST_PAUSE_S, TICK_S))

    def _look_at_disk(self) -> str:
        """One sentence where the disk is full; a folder that was removed is made again."""
        try:
            self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            return f"{self._state} cannot be made ({error.strerror})."
        if has_room(self._state):
            return ""
        return "The disk of this machine is full: make room on it."

    def _is_busy(self) -> bool:
        """A setup or a batch is at work: busy/PID is there and the process lives."""
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

    def _take_wish(self) -> None:
        file = self._state / "guard.extend"
        try:
            found = os.lstat(file)
        except OSError:
            return
        # On a disk that has become read-only it stays where it is, and is granted once.
        mark = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
        if mark == self._taken:
            return
        self._taken = mark
        try:
            wish = read_small(file).strip()
        except OSError as error:
            wish = f"unreadable ({error.strerror})"
        with suppress(OSError):
            os.unlink(file)
        if wish and not NUMBER.fullmatch(wish):
            self._log.say(f"guard.extend asks for no number of minutes: {wish[:40]!r}")
            return
        minutes = float(wish) if wish else EXTENSION_MINUTES
        seconds = int(minutes * 60 + 0.5)
        self._count.hard_left += seconds
        self._count.idle_used = min(self._count.idle_used, self._count.idle_limit - seconds)
        self._log.say(f"extended by {minutes:g} minutes")


def watch(state: Path, text: str) -> NoReturn:
    """What `arm` starts: `text` is the count; the rental's id and key come through stdin."""
    count = Count.of(text)
    container, key = sys.stdin.readline().strip(), sys.stdin.readline().strip()
    if count is None or not key:
        sys.exit("guard.sh watch is what arm starts; type guard.sh arm.")
    with suppress(OSError):  # so that `killall python3` does not mean it
        Path("/proc/self/comm").write_text("guard", encoding="ascii")
    guard = Guard(state, count, Rental(container, key))
    guard.tick()
    guard.tell()
    with suppress(OSError):
        os.write(1, b"watching\n")
        select.select([0], [], [], HANDOVER_S)  # the end of it: the guard before this one has ended
        guard.tell()
        os.write(1, f"{guard.trouble}\n".encode())
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    guard.run()
