"""Encoders take no time from the engine: their threads have a lower priority."""

from __future__ import annotations

import os
import sys
import threading

NICENESS = 10


def lower_priority() -> None:
    """Of the calling thread, and of those that it starts; only Linux can do that."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
