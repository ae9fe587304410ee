"""Runs what waits for a disk, a picture or a decoder on other threads.

gevent's loop goes on with the streams meanwhile. Knows no route.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from gevent.hub import get_hub
from gevent.util import wrap_errors

T = TypeVar("T")


def off_loop(function: Callable[..., T], *arguments: Any) -> T:
    """`function(*arguments)` on another thread; raises what it raises. Only this greenlet waits."""
    # Unwrapped, an error would also be printed by the pool's thread.
    wrapped = wrap_errors((Exception,), function)
    result: T | Exception = get_hub().threadpool.apply(wrapped, arguments)
    if isinstance(result, Exception):
        raise result
    return result


def later(function: Callable[..., object], *arguments: Any) -> None:
    """The same without waiting for it."""
    get_hub().threadpool.spawn(function, *arguments)
