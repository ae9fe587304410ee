"""The two limits of a rental and how much of each is used, as one line and in words."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

WARN_FIRST_S = int(os.environ.get("GUARD_WARN_FIRST_S") or 900)
WARN_LAST_S = int(os.environ.get("GUARD_WARN_LAST_S") or 300)

NUMBER = re.compile(r"[0-9]{1,6}(\.[0-9]{1,9})?")
STATE = re.compile(r"(-?[0-9]{1,10}) ([0-9]{1,10}) (-?[0-9]{1,10}) ([0-9]{1,10}) ([0-9]{1,5})")


def uptime() -> int:
    """Of the machine, in seconds: unlike the clock it never jumps."""
    return int(float(Path("/proc/uptime").read_text(encoding="ascii").split()[0]))


@dataclass
class Count:
    """The limits and their use, in seconds. `idle_used` is negative after an extension."""

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
        """As status and arm print it."""
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
                "if you still need it."
            )
        if left <= WARN_FIRST_S:
            return (
                f"This machine is given back in {_minutes(left)} minutes ({why}), unless it is "
                "extended."
            )
        return ""


def _minutes(seconds: int) -> int:
    return (seconds + 59) // 60
