"""What the guard's commands say on stderr."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import NoReturn

NONE = "nothing ends this rental but you"


def say(text: str) -> None:
    with suppress(OSError):  # stderr may be closed
        print(f"[guard] {text}", file=sys.stderr, flush=True)


def die(text: str) -> NoReturn:
    say(text)
    sys.exit(1)
