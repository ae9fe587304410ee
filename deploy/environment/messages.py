"""What setup.sh says on stderr, and the error that ends it with one sentence."""

from __future__ import annotations

import sys


class SetupError(Exception):
    """The user has to do something; the message is one sentence."""


def say(text: str) -> None:
    print(f"[setup] {text}", file=sys.stderr, flush=True)
